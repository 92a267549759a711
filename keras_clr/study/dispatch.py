"""Sends runs to worker processes and takes what comes back; knows nothing of what a run is.

On this machine it drives joblib's process pool (loky) itself: with a known environment from the start of each process,
also for one worker, and so that a worker that dies costs nobody but itself. Under `joblib.parallel_config` with another
backend (Ray, Dask), `joblib.Parallel` spreads the runs, and each gets a process of its own where it arrives.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

import numpy as np

from keras_clr._extras import import_extra
from keras_clr.study.worker import IN_THIS_PROCESS, companion, entrance, forwarder, worker_environment

# (number of the task, what came back)
_Results = Iterator[tuple[int, dict[str, Any]]]


def pickled(parts: Mapping[str, Any]) -> dict[str, bytes]:
    """Each part as bytes; functions that are not importable (closures, of `__main__`) by their code.

    Raises:
        TypeError: If a part cannot be sent to a process; names it.
    """
    cloudpickle = import_extra("cloudpickle", "study", "A study")
    done = {}
    for name, part in parts.items():
        try:
            done[name] = cloudpickle.dumps(part)
        except Exception as error:  # whatever an object may raise when it is pickled
            raise TypeError(
                f"Argument `{name}` cannot be sent to a worker process ({type(error).__name__}: {error}). "
                "Make what is in it inside a function, and pass the function."
            ) from error
    return done


class Dispatcher:
    """Calls a function for each task in worker processes.

    Args:
        payload: Pickled function of (arrays, task).
        arrays: Arrays that every call gets.
        backend: Of Keras, in the workers.
        n_jobs: Calls at a time; as joblib counts. None for what an enclosing `joblib.parallel_config` says, or one for
            each core.

    Raises:
        ImportError: If joblib is not installed.
        ValueError: If `n_jobs` is not a number of workers.
    """

    def __init__(self, payload: bytes, arrays: Sequence[np.ndarray], backend: str, n_jobs: int | None) -> None:
        self._joblib = import_extra("joblib", "study", "A study")
        if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0):
            raise ValueError(f"Argument `n_jobs` must be None or an integer other than 0. Received: n_jobs={n_jobs!r}")
        self._payload, self._arrays, self._n_jobs = payload, arrays, n_jobs
        self._environment = worker_environment(backend)

    def __call__(self, tasks: Sequence[Any]) -> _Results:
        """Calls for each task.

        Yields:
            (position in `tasks`, what the call returned), in the order in which they end; {"error": traceback} for a
            call that raised, {"died": reason} for one whose worker died.

        Raises:
            RuntimeError: If the active backend of joblib has no worker processes.
        """
        sent = [pickle.dumps(task) for task in tasks]
        active, configured = self._joblib.parallel.get_active_backend()
        n_jobs = self._n_jobs if self._n_jobs is not None else configured
        parallel = self._joblib.parallel
        # Not the ones that derive from them, as Ray's does.
        if type(active) in (parallel.LokyBackend, parallel.MultiprocessingBackend):
            num_cores = self._joblib.cpu_count()
            workers = num_cores if n_jobs is None else n_jobs if n_jobs > 0 else max(1, num_cores + 1 + n_jobs)
            return self._in_processes(sent, min(workers, len(sent)))
        return self._by_joblib(sent, list(range(len(sent))), -1 if n_jobs is None else n_jobs)

    def _in_processes(self, sent: Sequence[bytes], num_workers: int) -> _Results:
        with tempfile.TemporaryDirectory(prefix="keras_clr_") as folder:
            file = os.path.join(folder, "arrays")
            self._joblib.dump(list(self._arrays), file)
            todo, suspects = deque(range(len(sent))), deque[int]()
            while todo or suspects:
                # When a worker dies, its pool does not say whose run it had: each run in hand is tried again, alone.
                source, size = (suspects, 1) if suspects else (todo, min(num_workers, len(todo)))
                for key, outcome in self._in_pool(source, size, sent, file):
                    if outcome is None:
                        suspects.append(key)
                    else:
                        yield key, outcome

    def _in_pool(
        self, source: deque[int], size: int, sent: Sequence[bytes], file: str
    ) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Until `source` is empty or a worker has died; then None for each run in hand, if there was more than one."""
        enter = entrance(self._environment)
        loky = import_extra("joblib.externals.loky", "study", "A study")
        pool = loky.ProcessPoolExecutor(size, env=self._environment, initializer=companion(), initargs=(os.getpid(),))
        running: dict[Future[Any], int] = {}
        broken = False
        try:
            while running or (source and not broken):
                while source and not broken and len(running) < size:
                    key = source.popleft()
                    try:
                        running[pool.submit(enter, key, self._payload, sent[key], file)] = key
                    except BrokenExecutor:  # A worker died while it had nothing to do.
                        source.appendleft(key)
                        broken = True
                alone = len(running) == 1
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield future.result()
                    else:
                        broken = True
                        yield key, ({"died": f"{type(error).__name__}: {error}"} if alone else None)
        finally:
            pool.shutdown(kill_workers=True)

    def _by_joblib(self, sent: Sequence[bytes], keys: Sequence[int], n_jobs: int) -> _Results:
        """A group of runs; if the cluster loses a worker, the rest in halves, until the run it is lost by is alone."""
        active = self._joblib.parallel.get_active_backend()[0]
        # A backend that gives nothing back before all is done (Ray) gets as many runs at a time as it has workers.
        at_once = active.supports_return_generator
        call = self._joblib.delayed(forwarder(self._environment))
        left, reason = set(keys), ""
        with self._joblib.Parallel(
            n_jobs=n_jobs, batch_size=1, return_as="generator_unordered" if at_once else "list"
        ) as parallel:
            size = len(keys) if at_once else self._joblib.effective_n_jobs(n_jobs)
            try:
                for start in range(0, len(keys), size):
                    group = keys[start : start + size]
                    for result in parallel(call(key, self._payload, sent[key], *self._arrays) for key in group):
                        if result == IN_THIS_PROCESS:
                            raise _NoWorkerError
                        left.remove(result[0])
                        yield result
            except _NoWorkerError:
                raise RuntimeError(
                    f"A study needs worker processes, and joblib's {type(active).__name__} with {size} workers runs in "
                    "this one. Give it at least 2 worker processes, or leave joblib.parallel_config out."
                ) from None
            except Exception as error:  # each backend has its own for a worker that died
                reason = f"{type(error).__name__}: {error}"
        rest = sorted(left)
        if len(rest) == 1:
            yield rest[0], {"died": reason}
        elif rest:
            middle = len(rest) // 2
            for half in (rest[:middle], rest[middle:]):
                yield from self._by_joblib(sent, half, n_jobs)


class _NoWorkerError(Exception):
    """The active backend of joblib has no process besides this one."""
