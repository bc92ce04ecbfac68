"""The models are ports of the PyTorch implementations, number for number.

Weights and input come from a closed form (`tests/golden.py`), what PyTorch made of them from `tests/expected`.
Errors are relative to the greatest magnitude of an array, for mu and sigma of each slice. The reduced models have every
kind of layer that the full ones have.

Gotcha: in `swint_charm` one y - mu lies 7e-6 from a rounding tie, which is what two float32 computations may differ by.
There the context is given PyTorch's symbols, so that a flip stays where it is, and symbols within `TIE` of a tie may
differ by one. Elsewhere every symbol must be equal.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import arithmetic
from tests import golden

MOST, TYPICAL = 1e-4, 1e-5   # greatest and root mean square of the relative error
TIE = 2e-5
WITH_TIES = ("swint_charm",)
FULL = ("tcm_n64", "swint_charm", "conv_charm", "elic2022_official")   # those with outputs
ARRAYS = ("y", "z", "hyper", "mu", "sigma", "y_hat", "x_hat", "lik_y", "lik_z")


class Run:
    """A model under test: `ours` is what it gives, `theirs` what PyTorch gave."""

    def __init__(self, name: str, model):
        self.tied, self.model = name in WITH_TIES, model
        self.picture = golden.picture(**golden.recipes()[name]["input"])
        with np.load(golden.EXPECTED / f"{name}.npz") as stored:
            self.theirs = dict(stored)
        self.ours = golden.outputs(self.model, self.picture, self.theirs["y_symbols"] if self.tied else None)


@pytest.fixture(scope="module",
                params=[*golden.REDUCED, *(pytest.param(name, marks=pytest.mark.slow) for name in FULL)])
def run(request) -> Run:
    return Run(request.param, golden.load(golden.weights_of(request.param)))


def relative_errors(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Greatest and root mean square."""
    error = (ours.astype(np.float64) - theirs) / np.abs(theirs).max()
    return np.abs(error).max(), np.sqrt(np.square(error).mean())


def assert_close(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    most, typical = relative_errors(ours, theirs)
    assert most <= MOST and typical <= TYPICAL, f"{what}: errors of {most:.1e}, typically {typical:.1e}"


def test_transforms_and_predictions_equal_those_of_pytorch(run):
    for array in ARRAYS:
        assert_close(golden.sample(run.ours[array]), run.theirs[f"{array}.sample"], array)


def test_what_no_sample_shows_is_equal_in_sum_norm_and_peak(run):
    for array in ARRAYS:
        (total, norm, peak), theirs = golden.summary(run.ours[array]), run.theirs[f"{array}.summary"]
        # An error of TYPICAL * norm moves the sum by at most sqrt(size) times as much (Cauchy, Schwarz).
        assert abs(total - theirs[0]) <= TYPICAL * theirs[1] * run.ours[array].size ** 0.5, array
        assert abs(norm / theirs[1] - 1) <= TYPICAL and abs(peak / theirs[2] - 1) <= MOST, array


def test_mean_and_sigma_of_every_slice_equal_those_of_pytorch(run):
    ends = np.cumsum(run.model.context.depths)
    for array in ("mu", "sigma"):
        ours, theirs = run.ours[array], run.theirs[f"{array}.sample"]
        channel = golden.sample(np.broadcast_to(np.arange(len(ours))[:, None, None], ours.shape))
        of_slice = np.searchsorted(ends, channel, "right")
        for k in range(len(ends)):
            assert_close(golden.sample(ours)[of_slice == k], theirs[of_slice == k], f"{array} of slice {k}")


def test_every_symbol_equals_that_of_pytorch(run):
    np.testing.assert_array_equal(run.ours["z_symbols"], run.theirs["z_symbols"])
    off = run.ours["y_symbols"] - run.theirs["y_symbols"]
    if run.tied:
        residual = run.ours["y"] - run.ours["mu"]
        at_tie = np.abs(residual - np.floor(residual) - 0.5) < TIE
        assert at_tie.sum() < 10 and np.abs(off).max() <= 1
        off = off[~at_tie]
    assert not off.any(), f"{np.count_nonzero(off)} symbols differ"


def test_only_a_reference_with_symbols_at_a_tie_gets_leave_to_differ_there(run):
    assert (min(run.theirs["margin_y"], run.theirs["margin_z"]) < TIE) == run.tied


def test_rates_equal_those_of_pytorch(run):
    for bits in ("bits_y", "bits_z"):
        assert run.ours[bits] == pytest.approx(float(run.theirs[bits]), rel=1e-4), bits


def test_estimate_goes_the_way_that_was_compared(run):
    estimate = run.model.estimate(tf.constant(run.picture) * 255, arithmetic=arithmetic.CONTINUOUS)
    assert_close(golden.planes(estimate.y_hat), run.ours["y_hat"], "y_hat")
    assert_close(golden.planes(estimate.x_hat) / 255, run.ours["x_hat"], "x_hat")
    assert float(estimate.bits_y[0]) == pytest.approx(float(run.theirs["bits_y"]), rel=1e-4)
    assert float(estimate.bits_z[0]) == pytest.approx(float(run.theirs["bits_z"]), rel=1e-4)
