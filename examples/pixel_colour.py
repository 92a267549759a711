"""Red or green? Why the same network learns in one run and stays at 50 % in the next.

The question, somebody's own: one network is to learn the colour of the single coloured pixel in an image. Why does it
learn in some shuffles of the images only, and stay at 50 % for ever in others? Two classes, and this network:
`Dense(112, relu) -> Dropout(0.4) -> Flatten -> Dense(3, softmax)`, categorical cross-entropy, Adam,
`CyclicLR(base_lr=0.000005, max_lr=0.0003, step_size=200.)`, 10 epochs. Each variant of it is trained many times from
the *same* initial weights and with the same dropout masks; only the order of the images differs.
`StuckDetector` watches.

    python examples/pixel_colour.py                     # small images, under a minute
    python examples/pixel_colour.py --backend jax --runs 20
    python examples/pixel_colour.py --full --variants clipped --stop-frozen    # 224 x 224: many minutes a run

How the small size follows from the full one is in `_pixel_network.py`, beside the network. Results go to `--out`:
`results.json` after every run, `results.png` at the end. Ctrl-C keeps what has finished.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

BACKENDS = ("tensorflow", "jax", "torch")
NOT_WRITTEN, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(BAD_INPUT, f"pixel_colour: {message}\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Options; ends the program with exit code 2 if they make no sense. Writes nothing."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="8 x 8 pixels, derived from the full size (the default)")
    size.add_argument("--full", action="store_true", help="the question's numbers: 224 x 224, 2000 images per class")
    parser.add_argument("--runs", type=_integer(1), default=10, help="runs of each variant (default: 10)")
    parser.add_argument("--epochs", type=_integer(1), default=10, help="epochs of a run (default: 10, the question's)")
    parser.add_argument(
        "--seed", type=_integer(0, 2**31 - 1), default=0, help="of images, initial weights and orders (default: 0)"
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=os.environ.get("KERAS_BACKEND") or "tensorflow",
        help="what Keras runs on (default: KERAS_BACKEND, or tensorflow)",
    )
    parser.add_argument("--background", choices=("grey", "white", "black", "noise"), default="grey")
    parser.add_argument(
        "--variants", nargs="+", choices=("clipped", "logits", "fixed"), default=["clipped", "logits", "fixed"]
    )
    parser.add_argument(
        "--input-range",
        type=_input_range,
        metavar="X",
        help="what a pixel value of 255 is scaled to at full size, but for 'fixed' (default: 3.3; not in the question)",
    )
    parser.add_argument("--stop-frozen", action="store_true", help="end a run as soon as it is certified to be frozen")
    parser.add_argument("--out", type=_folder, default=Path("pixel_colour_results"), metavar="DIR")
    options = parser.parse_args(arguments)
    options.variants = list(dict.fromkeys(options.variants))
    if options.backend not in BACKENDS:  # argparse does not check a default
        parser.error(f"KERAS_BACKEND is '{options.backend}'; it must be one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(options.backend) is None:
        extra = "tensorflow-cpu" if options.backend == "tensorflow" else options.backend
        parser.error(f"backend '{options.backend}' is not installed: pip install \"keras-clr[{extra}]\"")
    for package in ("keras", "keras_clr"):
        if importlib.util.find_spec(package) is None:
            parser.error(f"{package} is not installed: pip install . (in the repository's top folder)")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        parser.error(f"cannot write to --out {options.out}: {error.strerror or error}")
    for name in ("results.json", "results.png"):
        if (options.out / name).is_dir():
            parser.error(f"cannot write to --out {options.out}: {name} is a directory there")
    return options


def _integer(least: int, most: int | None = None) -> Any:
    limits = f">= {least}" if most is None else f"from {least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, not '{text}'")
        return value

    return convert


def _input_range(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # Raw pixels are 255. Far beyond these limits float32 loses the inputs or what is computed from them.
    if not 1e-6 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number from 1e-6 to 1e6, not '{text}'")
    return value


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must name a folder, not ''")
    return Path(text)


def import_keras() -> None:
    """Imports Keras and its backend, keeping TensorFlow's start-up chatter to itself unless the import fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import keras  # noqa: F401
        except Exception:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


class Progress:
    """One line that is rewritten on a terminal; one line a run elsewhere."""

    def __init__(self, num_runs: int) -> None:
        self._num_runs, self._done, self._start = num_runs, 0, time.monotonic()
        self._terminal = sys.stderr.isatty()

    def epoch(self, name: str, epoch: int, epochs: int) -> None:
        """Notes that an epoch is over."""
        if not self._terminal:
            return
        done = self._done + epoch / epochs
        left = (time.monotonic() - self._start) * (self._num_runs - done) / done
        self._write(f"{name}, epoch {epoch}/{epochs}; {self._done}/{self._num_runs} runs done, about {left:.0f} s left")

    def run(self, name: str, outcome: str) -> None:
        """Notes that a run is over."""
        self._done += 1
        if not self._terminal:
            print(f"[{self._done}/{self._num_runs}] {name}: {outcome}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves an empty line behind."""
        if self._terminal:
            self._write("")

    @staticmethod
    def _write(text: str) -> None:
        print(f"\r\x1b[2K{text[:100]}", end="", file=sys.stderr, flush=True)


def train_once(parts: Any, order_seed: tuple[int, ...], options: argparse.Namespace, tell: Any) -> dict[str, Any]:
    """One run from the initial state; its curves and what the detector said."""
    import keras
    from _pixel_network import Batches

    import keras_clr

    model, setting = parts["model"], parts["setting"]
    parts["snapshot"].restore(model)
    rate = keras_clr.CyclicLR(base_lr=setting.base_lr, max_lr=setting.max_lr, step_size=setting.step_size)
    detector = parts["detector"]
    start = time.monotonic()
    with warnings.catch_warnings():
        # The detector's verdicts are collected here, and shown in the table.
        warnings.simplefilter("ignore", keras_clr.StuckTrainingWarning)
        curves = model.fit(
            Batches(parts["training"], setting.chunk, order_seed),
            validation_data=Batches(parts["validation"], setting.validation_chunk),
            epochs=options.epochs,
            shuffle=False,  # `Batches` does it.
            verbose=0,
            callbacks=[rate, detector, keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: tell(epoch + 1))],
        ).history
    parts["learning_rate"] = {key: list(rate.history[key]) for key in ("step", "learning_rate")}
    stuck = detector.stuck_epoch_
    return {
        "order_seed": list(order_seed),
        **{key: [float(value) for value in curves[key]] for key in ("accuracy", "loss", "val_accuracy", "val_loss")},
        "frozen_epoch": None if stuck is None else stuck + 1,
        "diagnosis": detector.diagnosis_.to_dict(),
        "seconds": time.monotonic() - start,
    }


def new_detector(training: Any, setting: Any, stop: bool) -> Any:
    """The detector of all runs of a variant."""
    import keras_clr

    probe = training.take(training.balanced(setting.probe_images))
    return keras_clr.StuckDetector(probe, on_stuck="stop" if stop else "warn")


def experiment(options: argparse.Namespace, report: Any) -> None:
    """All runs of all variants; `report` is filled and saved as they finish."""
    import dataclasses

    from _pixel_network import FULL, INPUT_RANGE, QUICK, PixelImages

    setting = FULL if options.full else QUICK
    if options.input_range:
        scale = options.input_range / INPUT_RANGE
        setting = dataclasses.replace(setting, input_range=setting.input_range * scale)
    report.begin(options, setting)
    seed, size = options.seed, setting.size
    training = PixelImages(setting.training_images, size, options.background, (seed, 0))
    validation = PixelImages(setting.validation_images, size, options.background, (seed, 1))
    progress = Progress(len(options.variants) * options.runs)
    try:
        for variant in options.variants:
            run_variant(variant, setting, (training, validation), options, report, progress)
            # At full size, two models at a time would not fit in 2.5 GB.
            gc.collect()
    finally:
        progress.close()


def run_variant(
    variant: str, setting: Any, images: Any, options: argparse.Namespace, report: Any, progress: Progress
) -> None:
    """All runs of one variant, by one compiled model, one detector and one snapshot: nothing is traced twice."""
    from _pixel_network import build_model, measure_logit_move

    from keras_clr._snapshot import Snapshot

    training, validation = images
    model = build_model(variant, setting, options.seed)
    snapshot = Snapshot.take(model)
    moves = {
        name: measure_logit_move(model, snapshot, training, setting, rate)
        for name, rate in (("base_lr", setting.base_lr), ("max_lr", setting.max_lr))
    }
    report.add_variant(variant, moves)
    parts = {
        "setting": setting,
        "training": training,
        "validation": validation,
        "model": model,
        "snapshot": snapshot,
        "detector": new_detector(training, setting, options.stop_frozen),
    }
    for run in range(options.runs):
        name = f"{variant}, run {run + 1}/{options.runs}"
        tell = functools.partial(progress.epoch, name, epochs=options.epochs)
        result = train_once(parts, (options.seed, 2, run), options, tell)
        report.add_run(variant, result, parts["learning_rate"])
        progress.run(name, report.outcome(result))


def conclude(report: Any, complete: bool) -> int:
    """Prints the report, and a line for each file that could not be written; returns the exit code."""
    print(report.finish(complete))
    for problem in report.problems:
        print(f"pixel_colour: {problem}", file=sys.stderr)
    return NOT_WRITTEN if report.problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    options = parse(arguments)
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report = None
    try:
        import_keras()
        from _pixel_report import Report

        report = Report(options.out)
        experiment(options, report)
    except KeyboardInterrupt:
        # A second Ctrl-C must not hurt what is written now.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            finished = 0 if report is None else report.num_runs
            print(f"Interrupted. Finished runs, which are kept: {finished}", file=sys.stderr)
            if report is not None and finished:
                conclude(report, complete=False)
        finally:
            signal.signal(signal.SIGINT, handler)
        return INTERRUPTED
    return conclude(report, complete=True)


if __name__ == "__main__":
    sys.exit(main())
