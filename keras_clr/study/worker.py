"""The door into a worker process: what happens before Keras is imported there.

A function of this module is found by its name, and to find it is to import keras_clr and with it Keras, on whatever
backend and with as many threads as that process would choose. So `entrance` makes a function that is sent by its code,
and imports nothing but the standard library until the environment is set; the rest comes as bytes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

IN_THIS_PROCESS = "in this process"

_BOOT = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    accompany, parent, enter, arguments = pickle.load(file)
accompany(parent)
answer = enter(*arguments)
with open(sys.argv[2], "wb") as file:
    pickle.dump(answer, file)
"""

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def worker_environment(backend: str) -> dict[str, str]:
    """Environment variables of a worker: the backend, and one thread for each library that computes."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        **dict.fromkeys(_ONE_THREAD, "1"),
    }


def companion() -> Callable[[int], None]:
    """What a worker process of ours does first: leaves Ctrl-C to its parent, and ends when the parent has.

    Returns:
        A function of the parent's process id, sent by its code like that of `entrance`.
    """

    def accompany(parent: int) -> None:
        import os
        import signal
        import threading
        import time

        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()

    return accompany


def entrance(environment: dict[str, str]) -> Callable[..., tuple[int, Any]]:
    """The function that runs in a worker process of ours.

    Args:
        environment: Variables to set before anything else.

    Returns:
        A function of (key, payload, task, file of arrays or None, *arrays). The payload is a pickled function of
        (arrays, task), `task` is pickled, too. It returns (key, what that function returned), or (key, {"error": text})
        for an exception.
    """

    def enter(key: int, payload: bytes, task: bytes, file: str | None, *arrays: Any) -> tuple[int, Any]:
        import os
        import pickle
        import traceback

        try:
            os.environ.update(environment)
            if file is not None:
                import joblib

                # Copied when written to: some backends warn of arrays that cannot be.
                arrays = joblib.load(file, mmap_mode="c")
            return key, pickle.loads(payload)(arrays, pickle.loads(task))
        except (Exception, SystemExit):
            return key, {"error": traceback.format_exc()}

    return enter


def forwarder(environment: dict[str, str]) -> Callable[..., Any]:
    """The function that runs in a worker of somebody else's cluster: starts a process of ours there, for one run.

    The cluster's own process will not do: it may have Keras on another backend, run several tasks in threads, draw from
    Python's random state meanwhile (Dask's does), and a run that kills it may stop the whole study (joblib 1.6 waits
    for ever for a task that Dask has given up).

    Returns:
        A function of (key, payload, task, *arrays) that returns what that of `entrance` does, (key, {"died": reason})
        if the process ended before, or `IN_THIS_PROCESS` where it would run in the process that made it.
    """
    enter, accompany = entrance(environment), companion()
    home, in_this_process, boot = (platform.node(), os.getpid()), IN_THIS_PROCESS, _BOOT

    def forward(key: int, payload: bytes, task: bytes, *arrays: Any) -> Any:
        import os
        import pickle
        import platform
        import subprocess
        import sys
        import tempfile

        import cloudpickle

        if (platform.node(), os.getpid()) == home:
            return in_this_process
        with tempfile.TemporaryDirectory(prefix="keras_clr_") as folder:
            question, answer = (os.path.join(folder, name) for name in ("question", "answer"))
            with open(question, "wb") as file:
                cloudpickle.dump((accompany, os.getpid(), enter, (key, payload, task, None, *arrays)), file)
            places = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run(
                [sys.executable, "-c", boot, question, answer], env={**os.environ, **environment, **places}, check=False
            )
            if done.returncode != 0:
                return key, {"died": f"The process of the run ended with exit code {done.returncode}."}
            with open(answer, "rb") as file:
                return pickle.load(file)

    return forward
