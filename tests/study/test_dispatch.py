"""Work in processes: none of these needs Keras in the worker."""

import os
import sys
import time

import numpy as np
import pytest

from keras_clr.study.dispatch import Dispatcher, pickled

cloudpickle = pytest.importorskip("cloudpickle", reason="a study needs the extra `study`")
joblib = pytest.importorskip("joblib", reason="a study needs the extra `study`")


def dispatcher(function, n_jobs=1, backend="of-the-test"):
    """Calls `function(arrays, task)`, sent by its code."""
    return Dispatcher(cloudpickle.dumps(function), [np.arange(5.0)], backend, n_jobs)


def outcomes(function, tasks, n_jobs=1):
    """What each task came to, in order."""
    return [outcome for _, outcome in sorted(dispatcher(function, n_jobs)(tasks))]


def make_worker():
    """A function that is sent by its code: nothing of this module is imported in the worker."""

    def work(arrays, task):
        import os
        import sys
        import time

        if task == "die":
            time.sleep(0.3)
            os._exit(3)
        if task == "raise":
            raise ValueError("no luck")
        if task == "exit":
            sys.exit(4)
        time.sleep(0.1)
        names = ("KERAS_BACKEND", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS")
        return {
            "task": task,
            "sum": float(arrays[0].sum()),
            "pid": os.getpid(),
            "keras": "keras" in sys.modules,
            "environment": {name: os.environ.get(name) for name in names},
        }

    return work


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_task_is_done_in_another_process_with_one_thread(n_jobs):
    """The backend is set before Keras is imported: our code alone does not import it."""
    for task, outcome in zip("abc", outcomes(make_worker(), "abc", n_jobs), strict=True):
        assert (outcome["task"], outcome["sum"], outcome["keras"]) == (task, 10.0, False)
        assert outcome["pid"] != os.getpid()
        environment = outcome["environment"]
        assert environment.pop("XLA_FLAGS").endswith("intra_op_parallelism_threads=1")
        assert set(environment.values()) == {"of-the-test", "1"}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_only_the_run_that_a_worker_dies_of_is_lost(n_jobs):
    """With several in hand, too; what raises or exits is told with its traceback."""
    results = outcomes(make_worker(), ["a", "die", "b", "raise", "die", "exit", "c"], n_jobs)
    assert [result.get("task") for result in results] == ["a", None, "b", None, None, None, "c"]
    assert "exit" in results[1]["died"].lower()
    assert "died" in results[4]
    assert results[3]["error"].endswith("ValueError: no luck\n")
    assert results[5]["error"].endswith("SystemExit: 4\n")


def test_leaving_early_ends_the_workers():
    """As on Ctrl-C: nothing goes on in the background."""

    def note_and_sleep(arrays, task):
        import os
        import time

        if task == "slow":
            time.sleep(600)
        return {"pid": os.getpid()}

    results = dispatcher(note_and_sleep, n_jobs=1)(["quick", "slow"])
    _, first = next(results)
    results.close()
    deadline = time.monotonic() + 10
    while _alive(first["pid"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(first["pid"])


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_number_of_workers_of_parallel_config_is_used():
    """As long as `n_jobs` does not say otherwise."""

    def work(arrays, task):
        import os
        import time

        time.sleep(0.5)
        return {"pid": os.getpid()}

    with joblib.parallel_config(n_jobs=1):
        assert len({outcome["pid"] for outcome in outcomes(work, range(3), None)}) == 1
        assert len({outcome["pid"] for outcome in outcomes(work, range(4), 2)}) == 2


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_a_backend_without_processes_is_refused(backend):
    """Runs in this process would not be alike."""
    with (
        joblib.parallel_config(backend=backend),
        pytest.raises(RuntimeError, match=r"needs worker processes, and joblib's .*runs in this one"),
    ):
        outcomes(make_worker(), "ab", 2)


@pytest.mark.parametrize("n_jobs", [0, 1.5, True])
def test_a_number_of_jobs_that_is_none(n_jobs):
    """It says what there may be."""
    with pytest.raises(ValueError, match=r"`n_jobs` must be None or an integer other than 0. Received: n_jobs="):
        dispatcher(make_worker(), n_jobs)


def test_what_cannot_be_sent_is_named():
    """And the way out."""
    with pytest.raises(TypeError, match=r"`callbacks` cannot be sent to a worker process .*Make what is in it inside"):
        pickled({"build_model": len, "callbacks": [sys.stdout]})
