"""What an extra brings is named where it is missing. Without the extra, these tests are the real thing."""

import sys

import pytest
from finder.test_curve import curve
from study import builders

import keras_clr
from keras_clr import CyclicLR, Study
from keras_clr.study.statistics import exact_interval, fisher_p_value


@pytest.mark.parametrize(
    ("modules", "use", "what"),
    [
        (["matplotlib"], lambda: CyclicLR(step_size=4).plot(num_steps=8), "plot"),
        (["matplotlib"], lambda: curve().plot(), "plot"),
        (["pandas"], lambda: curve().to_frame(), "pandas"),
        (["pandas"], lambda: Study({}, ()).to_frame(), "pandas"),
        (["scipy", "scipy.stats"], lambda: exact_interval(3, 20), "stats"),
        (["scipy", "scipy.stats"], lambda: fisher_p_value((3, 20), (14, 20)), "stats"),
        (["scipy", "scipy.stats"], lambda: study(), "study"),
        (["joblib"], lambda: study(), "study"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, modules, use, what):
    """With the command that brings it, before anything is done."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'needs .*\. Install it with: pip install "keras-clr\[{what}\]"'):
        use()


def study():
    """A study that would train."""
    return keras_clr.study(builders.build_classifier, *builders.samples(8), runs=2, verbose=0)


def test_the_curve_as_a_data_frame():
    """Three columns, a row for each step."""
    pytest.importorskip("pandas", reason="an extra")
    found = curve()
    frame = found.to_frame()
    assert list(frame.columns) == ["rate", "loss", "smoothed"]
    assert list(frame["rate"]) == list(found.rates)
    assert list(frame["smoothed"]) == list(found.smoothed)
