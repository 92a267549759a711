"""How often `diagnose` and `StuckDetector` say what is true.

Of programs that do not learn, of their repaired twins, and of programs that learn but look bad at first. Each sick
program has one planted cause, written down before any run, and a healthy twin, the smallest repair. What is true is
measured without the detector: whether the answers at the end are better than guessing, and whether the weights, bit for
bit, still change. Results are written after every program; one that is there already is not run again.

    python benchmarks/stuck_corpus --backend tensorflow [--seeds 5] [--cases NAME ...] [--only sick] [--out FILE.json]
    python benchmarks/stuck_corpus --out FILE.json --table    # Runs nothing, prints what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def programs(only: list[str], cases: list[str] | None):
    """(kind, name, run, what is expected) of every program that was asked for."""
    import batches
    import data
    import head
    import healthy
    import layers
    import teaching
    import training

    for module in (head, data, batches, layers, teaching, training):
        for case in module.CASES:
            if cases and case.name not in cases:
                continue
            about = {"source": case.source, "causes": case.causes, "lottery": case.lottery}
            if "sick" in only:
                yield "sick", case.name, case.sick, about
                if case.twin is not None:
                    yield "twin", case.name, case.twin, {}
    for name, run in healthy.RUNS.items():
        if "healthy" in only and (not cases or name in cases):
            yield "healthy", name, run, {}


def versions(backend: str) -> dict[str, str]:
    """Of what was used."""
    import keras
    import numpy as np

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "numpy": np.__version__,
        backend: __import__(backend).__version__,
    }


def main() -> int:
    """Runs what was asked for on one backend, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, default="tensorflow")
    parser.add_argument("--seeds", type=int, default=5, help="of each sick program and its twin")
    parser.add_argument("--healthy-seeds", type=int, default=6, help="of each healthy program")
    parser.add_argument("--cases", nargs="+", help="names; all by default")
    parser.add_argument("--only", nargs="+", choices=("sick", "healthy"), default=["sick", "healthy"])
    parser.add_argument("--out", type=Path, default=None, help="JSON file to go on with and to write")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of --out")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out and args.out.exists() else {"programs": []}
    if not args.table:
        os.environ["KERAS_BACKEND"] = args.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        run_all(args, results)
    from _table import table

    print(table(results))
    return 0


def run_all(args: argparse.Namespace, results: dict) -> None:
    """Adds what is missing to the results."""
    from _run import Stage

    results |= {
        "backend": args.backend,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": versions(args.backend),
    }
    done = {(program["kind"], program["name"]) for program in results["programs"]}
    for kind, name, run, about in programs(args.only, args.cases):
        if (kind, name) in done:
            continue
        begin, stage = time.perf_counter(), Stage(run)
        runs = [stage.play(seed) for seed in range(args.healthy_seeds if kind == "healthy" else args.seeds)]
        results["programs"].append({"kind": kind, "name": name, **about, "task": run.task, "runs": runs})
        learned = sum(r["learned"] for r in runs)
        print(
            f"{kind:8}{name:40}{time.perf_counter() - begin:6.1f} s  learned {learned}/{len(runs)}  "
            f"before {runs[0]['before']}  during {runs[-1]['during']}",
            flush=True,
        )
        if args.out:
            unfinished = args.out.with_suffix(".part")
            unfinished.write_text(json.dumps(results, indent=1) + "\n")
            unfinished.replace(args.out)


if __name__ == "__main__":
    sys.exit(main())
