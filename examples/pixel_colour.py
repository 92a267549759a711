"""Red or green? Why the same network learns in one run and stays at 50 % in the next.

The question, somebody's own: one network is to learn the colour of the single coloured pixel in an image. Why does it
learn in some shuffles of the images only, and stay at 50 % for ever in others? Two classes, and this network:
`Dense(112, relu) -> Dropout(0.4) -> Flatten -> Dense(3, softmax)`, categorical cross-entropy, Adam,
`CyclicLR(base_lr=0.000005, max_lr=0.0003, step_size=200.)`, 10 epochs.

Each row of the answer changes one thing, as the questioner was advised or as a cure, and is trained many times from the
*same* initial weights and with the same dropout masks; only the order of the images differs. `StuckDetector` watches,
and `study` counts.

    python examples/pixel_colour.py                     # small images, four rows
    python examples/pixel_colour.py --all               # all rows
    python examples/pixel_colour.py --rows question logits two-units --backend jax --runs 20
    python examples/pixel_colour.py --full --rows question --stop-frozen --runs 5    # 224 x 224: many minutes a run

How the small size follows from the full one is in `_pixel_network.py`, beside the network; the rows are in
`_pixel_rows.py`. Results go to `--out`: `results.json` after every row, each row's study after every run, a picture and
`results.html` at the end. Ctrl-C keeps what has finished; `--resume` goes on from there.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

BACKENDS = ("tensorflow", "jax", "torch")
# Those of `_pixel_rows.py`, which imports Keras: too early while the backend is not known.
ROWS = [
    "question",
    "class-order",
    "interleaved",
    "no-cycling",
    "20-epochs",
    "30-epochs",
    "decay",
    "augmentation",
    "dropout-0.2",
    "dropout-0.6",
    "convolutions",
    "two-units",
    "logits",
    "centred",
    "range-test",
    "pooling",
    "logits-class-order",
    "logits-interleaved",
    "fixed",
]
DEFAULT_ROWS = ["question", "class-order", "logits", "fixed"]
NOT_WRITTEN, BAD_INPUT, INTERRUPTED = 1, 2, 130


class StoppedError(Exception):
    """The runs cannot go on; the message is one line."""


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
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(DEFAULT_ROWS), help=f"default: {' '.join(DEFAULT_ROWS)}"
    )
    rows.add_argument("--all", action="store_const", const=list(ROWS), dest="rows", help="all rows")
    parser.add_argument(
        "--input-range",
        type=_input_range,
        metavar="X",
        help="what a pixel value of 255 is scaled to at full size, where not to 1 (default: 3.3; not in the question)",
    )
    parser.add_argument("--stop-frozen", action="store_true", help="end a run as soon as it is certified to be frozen")
    parser.add_argument(
        "--jobs",
        type=_integer(1),
        default=None,
        help="runs at a time, one thread each (default: one for each core; 1 with --full, where each takes 2.5 GB)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the runs of the same options that --out has already"
    )
    parser.add_argument("--out", type=_folder, default=Path("pixel_colour_results"), metavar="DIR")
    options = parser.parse_args(arguments)
    options.rows = [name for name in ROWS if name in options.rows]
    if options.backend not in BACKENDS:  # argparse does not check a default
        parser.error(f"KERAS_BACKEND is '{options.backend}'; it must be one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(options.backend) is None:
        extra = "tensorflow-cpu" if options.backend == "tensorflow" else options.backend
        parser.error(f"backend '{options.backend}' is not installed: pip install \"keras-clr[{extra}]\"")
    for package in ("keras", "keras_clr", "joblib", "cloudpickle", "scipy"):
        if importlib.util.find_spec(package) is None:
            parser.error(f'{package} is not installed: pip install ".[study]" (in the repository\'s top folder)')
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        parser.error(f"cannot write to --out {options.out}: {error.strerror or error}")
    for name in ("results.json", "results.png", "results.html"):
        if (options.out / name).is_dir():
            parser.error(f"cannot write to --out {options.out}: {name} is a directory there")
    if (options.out / "studies").is_file():
        parser.error(f"cannot write to --out {options.out}: studies is no directory there")
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
    handler, interrupts = signal.getsignal(signal.SIGINT), []

    def interrupt(number: int, frame: Any) -> None:  # noqa: ARG001
        interrupts.append(number)
        raise KeyboardInterrupt

    sys.stderr.flush()
    stderr = os.dup(2)
    signal.signal(signal.SIGINT, interrupt)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import keras  # noqa: F401
        except Exception:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            signal.signal(signal.SIGINT, handler)
            os.dup2(stderr, 2)
            os.close(stderr)
    if interrupts:
        # Raised where it was thrown away: in a bare `except`, or while something was collected.
        raise KeyboardInterrupt


def experiment(options: argparse.Namespace, report: Any) -> None:
    """All runs of all rows; `report` is filled and saved as they finish.

    Raises:
        StoppedError: If a file of runs cannot be written, or `--resume` finds one that is not of these runs.
    """
    import dataclasses

    from _pixel_network import FULL, INPUT_RANGE, QUICK
    from _pixel_rows import ROWS, Bench, measure_elsewhere, run_row

    setting = FULL if options.full else QUICK
    if options.input_range:
        scale = options.input_range / INPUT_RANGE
        setting = dataclasses.replace(setting, input_range=setting.input_range * scale)
    bench = Bench(setting, options.background, options.epochs, options.seed)
    report.begin(options, bench)
    rows = {name: ROWS[name] for name in options.rows}
    n_jobs = options.jobs or (1 if options.full else None)
    terminal = sys.stderr.isatty()
    looks = measure_elsewhere(bench, list(rows.values()), n_jobs)
    for number, (name, measured) in enumerate(zip(rows, looks, strict=True), 1):
        print(f"[{number}/{len(rows)}] {name} ...", file=sys.stderr, end="\n" if terminal else " ", flush=True)
        path = study_file(options, name)
        try:
            path.parent.mkdir(exist_ok=True)
            if not options.resume:
                path.unlink(missing_ok=True)
            study = run_row(
                bench,
                rows[name],
                measured,
                runs=options.runs,
                n_jobs=n_jobs,
                stop_frozen=options.stop_frozen,
                save_to=path,
                verbose=int(terminal),
            )
        except OSError as error:
            raise StoppedError(f"cannot write {path}: {error.strerror or error}") from error
        except ValueError as error:
            if not str(error).startswith(str(path)):
                raise
            raise StoppedError(f"{error} Without --resume it is made anew.") from error
        except KeyboardInterrupt as interrupt:
            so_far = getattr(interrupt, "study", None)
            if so_far is not None and so_far.results:
                report.add(name, measured, so_far)
            raise
        print(report.add(name, measured, study), file=sys.stderr, flush=True)


def study_file(options: argparse.Namespace, name: str) -> Path:
    """Where a row's study is kept. What decides over its runs is in the name: other options do not go on with it."""
    what = f"{'full' if options.full else 'quick'}-{options.backend}-{options.background}"
    scaled = "" if options.input_range is None else f"-{options.input_range:g}"
    return Path(options.out) / "studies" / f"{name}-{what}{scaled}-{options.epochs}-epochs-seed-{options.seed}.json"


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
    # For the workers, too. With oneDNN, TensorFlow says so in each of them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
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
    except StoppedError as error:
        print(f"\npixel_colour: {error}", file=sys.stderr)
        if report is not None and report.num_runs:
            conclude(report, complete=False)
        return NOT_WRITTEN
    return conclude(report, complete=True)


if __name__ == "__main__":
    sys.exit(main())
