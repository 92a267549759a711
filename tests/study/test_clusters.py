"""A study on workers that joblib reaches through Ray and Dask: the same results as on this machine."""

import os
import sys

import pytest
from study import builders

from keras_clr import study

joblib = pytest.importorskip("joblib", reason="a study needs the extra `study`")

pytestmark = pytest.mark.cluster

ARGUMENTS = {"runs": 4, "epochs": 2, "validation_split": 0.25, "verbose": 0}


@pytest.fixture(scope="module")
def local():
    """On this machine, without any of them."""
    return study(builders.build_classifier, *builders.samples(), callbacks=builders.cycling(), **ARGUMENTS)


@pytest.fixture(scope="module")
def ray():
    """A Ray of two workers."""
    ray = pytest.importorskip("ray", reason="only tox' environment `cluster` installs Ray")
    from ray.util.joblib import register_ray

    places = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=places)
    register_ray()
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def dask():
    """A Dask cluster of one process with two threads."""
    distributed = pytest.importorskip("distributed", reason="only tox' environment `cluster` installs Dask")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.filterwarnings("default")
def test_on_ray_results_are_the_same(ray, local, tmp_path):
    """Bit for bit, and saved as they come."""
    path = tmp_path / "study.json"
    arguments = {"callbacks": builders.cycling(), "save_to": path, **ARGUMENTS}
    with joblib.parallel_config(backend="ray"):
        assert study(builders.build_classifier, *builders.samples(), **arguments) == local
    assert type(local).load(path) == local


@pytest.mark.filterwarnings("default")
def test_on_ray_a_death_costs_one_run(ray):
    """Of the run's own process, and of Ray's, which takes another run with it: that one is done again."""
    with joblib.parallel_config(backend="ray"):
        found = study(builders.build_fatal, *builders.samples(), vary="init", epochs=1, runs=4, verbose=0)
    assert [run.status for run in found.runs] == ["finished", "died", "died", "finished"]


@pytest.mark.filterwarnings("default")
def test_on_dask_results_are_the_same(dask, local):
    """Also with two threads in a worker: each run has a process of its own."""
    with joblib.parallel_config(backend="dask"):
        arguments = {"callbacks": builders.cycling(), **ARGUMENTS}
        assert study(builders.build_classifier, *builders.samples(), **arguments) == local


@pytest.mark.filterwarnings("default")
def test_on_dask_a_death_costs_one_run(dask):
    """The worker that started the process goes on."""
    with joblib.parallel_config(backend="dask"):
        found = study(builders.build_fatal, *builders.samples(), vary="init", epochs=1, runs=2, verbose=0)
    assert [run.status for run in found.runs] == ["finished", "died"]
