"""The other finders' own code on a recorded range test.

Each gets the rates and the raw losses of its own default range (100 updates) and does what it always does with them:
its smoothing, its early stop, its trimming, its rule. A package that is not installed is left out, and named.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import os
import types
import warnings
from collections.abc import Callable

import numpy as np

Rival = Callable[[np.ndarray, np.ndarray], tuple[float, int]]  # (rates, raw losses) -> rate (may be NaN), steps.


def _fastai() -> dict[str, Rival]:
    import torch
    from fastai.callback import schedule
    from fastai.learner import AvgSmoothLoss

    def suggest(method):
        def rule(rates, raw):
            smoother, best, losses = AvgSmoothLoss(), float("inf"), []
            for loss in raw:
                smoother.accumulate(types.SimpleNamespace(loss=torch.tensor(float(loss))))
                losses.append(smoother.value)
                best = min(best, losses[-1])
                if losses[-1] > 4 * best:  # `LRFinder.after_batch`
                    break
            num_steps = len(losses)
            lrs = torch.tensor([float(rate) for rate in rates[:num_steps]])[10:-5]  # `Learner.lr_find`
            losses = torch.stack(losses)[10:-5]
            bad = torch.nonzero(torch.isnan(losses))
            if len(bad):
                lrs, losses = lrs[: min(bad)], losses[: min(bad)]
            return method(lrs, losses, 100)[0], num_steps

        return rule

    names = ("valley", "slide", "minimum", "steep")
    return {f"fastai {name}": suggest(getattr(schedule, name)) for name in names}


def _torch_lr_finder() -> dict[str, Rival]:
    import torch
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    class Replay(LRFinder):
        """Its own `range_test` and `plot`; only the training of a batch is replaced by the recorded loss."""

        def _train_batch(self, *args, **arguments):
            return next(self.recorded)

    def rule(rates, raw):
        model = torch.nn.Linear(1, 1)
        finder = Replay(model, torch.optim.SGD(model.parameters(), lr=float(rates[0])), None)
        finder.recorded = iter([float(loss) for loss in raw])
        finder.range_test(TrainDataLoaderIter([]), end_lr=float(rates[-1]), num_iter=len(rates))
        axes = types.SimpleNamespace(**dict.fromkeys(_AXES, lambda *_, **__: None))
        return finder.plot(ax=axes)[1], len(finder.history["lr"])

    return {"torch-lr-finder": rule}


_AXES = ("plot", "scatter", "legend", "set_xscale", "set_xlabel", "set_ylabel", "axvline")


def _lightning() -> dict[str, Rival]:
    from pytorch_lightning.tuner import lr_finder

    def rule(rates, raw):
        callback = lr_finder._LRCallback(num_training=len(rates))
        trainer = types.SimpleNamespace(
            fit_loop=types.SimpleNamespace(batch_idx=0),
            accumulate_grad_batches=1,
            strategy=types.SimpleNamespace(broadcast=lambda value: value),
            should_stop=False,
        )
        for step, loss in enumerate(raw):
            trainer.global_step = step + 1
            output = types.SimpleNamespace(item=lambda loss=loss: float(loss))
            callback.on_train_batch_end(trainer, None, {"loss": output}, None, step)
            if trainer.should_stop:
                break
        finder = lr_finder._LRFinder("exponential", float(rates[0]), float(rates[-1]), len(rates))
        finder.results = {"lr": [float(rate) for rate in rates[: len(callback.losses)]], "loss": callback.losses}
        return finder.suggestion(), len(callback.losses)

    return {"Lightning": rule}


def _ignite() -> dict[str, Rival]:
    import torch
    from ignite.engine import Engine
    from ignite.handlers import FastaiLRFinder

    def rule(rates, raw):
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=float(rates[0]))
        engine = Engine(lambda _, loss: loss)
        finder = FastaiLRFinder()
        with finder.attach(
            engine, {"model": model, "optimizer": optimizer}, end_lr=float(rates[-1]), num_iter=len(rates)
        ) as trainer:
            trainer.run([float(loss) for loss in raw], max_epochs=1)
        return finder.lr_suggestion(), len(finder.get_results()["lr"])

    return {"ignite": rule}


_PACKAGES = {
    "fastai": _fastai,
    "torch-lr-finder": _torch_lr_finder,
    "pytorch-lightning": _lightning,
    "pytorch-ignite": _ignite,
}
LIGHTNING_RANGE = (1e-8, 1.0)  # Its default; the others' is 1e-7 to 10.


def load() -> tuple[dict[str, Rival], dict[str, str]]:
    """The rules that are installed, by name, and for every package its version or "not installed"."""
    os.environ.setdefault("MPLBACKEND", "agg")
    logging.disable(logging.ERROR)
    rules, versions = {}, {}
    for package, make in _PACKAGES.items():
        try:
            rules |= make()
            versions[package] = importlib.metadata.version(package)
        except ImportError as error:
            versions[package] = f"not installed ({error.name})"
        except RuntimeError as error:  # A torchvision that does not fit torch dies like this.
            versions[package] = f"does not import ({error})"
    return rules, versions


def suggestion(rule: Rival, rates: np.ndarray, raw: np.ndarray) -> tuple[float | None, int]:
    """What the rule says, silently, and the steps it took; None if it raises or says nothing usable."""
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        try:
            rate, steps = rule(rates, raw)
        except Exception:
            return None, len(rates)
    return (float(rate) if rate is not None and np.isfinite(rate) and rate > 0 else None), steps
