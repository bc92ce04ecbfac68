"""Training that begins with the weights of another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lic import weights
from lic.errors import DataError, UsageError
from lic.training import initial
from tests.lic.training.runs import MICRO, SCRIPT, run_of


@pytest.fixture
def first(settings, tmp_path):
    """A run with an average that is not its weights, its checkpoint and its model."""
    run = run_of(settings(ema=0.9, train_path=str(tmp_path / "first")))
    for mean, v in run.average.pairs:
        mean.assign(v + 0.25)
    run.checkpoints.save()
    run.save(str(tmp_path / "first" / "model"))
    return run


@pytest.mark.parametrize("source", ["first", "first/model"])
def test_run_begins_with_the_averaged_weights_of_a_run_or_a_model_and_a_fresh_optimizer(
        first, settings, tmp_path, source, capsys):
    first.model.optimizer.iterations.assign(77)
    first.checkpoints.save()
    run = run_of(settings(init_from=str(tmp_path / source), lmbda=0.05, ema=0.9))
    assert int(run.steps) == int(run.model.optimizer.iterations) == 0 and not run.resumed
    for begun, mean, (average, _) in zip(run.model.trainable_variables, first.average.variables, run.average.pairs):
        np.testing.assert_array_equal(begun, mean, err_msg=begun.name)
        np.testing.assert_array_equal(average, mean)
    run._announce()
    assert f"beginning with the weights of '{tmp_path / source}'" in capsys.readouterr().err


def test_run_that_goes_on_has_weights_of_its_own(first, settings, tmp_path):
    begun = run_of(settings(init_from=str(tmp_path / "first")))
    begun.model.trainable_variables[0].assign_add(begun.model.trainable_variables[0])
    begun.checkpoints.save()
    begun.close()
    (tmp_path / "first").rename(tmp_path / "gone")
    resumed = run_of(settings(init_from=str(tmp_path / "first")))
    np.testing.assert_array_equal(resumed.model.trainable_variables[0], begun.model.trainable_variables[0])


def test_bundled_model_goes_by_the_name_of_its_script():
    assert initial.locate("lsk2023", "lsk2023", "nano-variable") == initial.locate(
        initial.locate("lsk2023", "lsk2023", "nano-variable"), "lsk2023", "nano-variable")
    for script, preset in (("lsk2023", "tiny"), (SCRIPT, MICRO.name)):
        with pytest.raises(UsageError, match=f"'lsk2023' is a model of lsk2023 nano-variable, this run trains {script} "
                                             f"{preset}: "):
            initial.locate("lsk2023", script, preset)


def test_what_is_no_model_of_this_preset_is_one_line_and_leaves_nothing(first, settings, tmp_path):
    (tmp_path / "empty").mkdir()
    about = json.loads((tmp_path / "first" / "model" / "model.json").read_text())
    cases = ((tmp_path / "nowhere", DataError, "there is no such folder"), (tmp_path / "empty", DataError, "it has no"),
             ("lsk2023", UsageError, "of the same preset"))
    for name, kind, words in cases:
        with pytest.raises(kind, match=words) as error:
            run_of(settings(init_from=str(name)))
        assert "\n" not in str(error.value) and not (tmp_path / "run").exists()
    arrays = weights.read_arrays(str(tmp_path / "first" / "model"))
    arrays.popitem()
    name = next(iter(arrays))
    arrays[name] = arrays[name][..., None]
    np.savez(tmp_path / "first" / "model" / "weights.npz", **arrays)
    assert about["preset"] == MICRO.name
    with pytest.raises(DataError, match="do not fit preset 'micro'"):
        run_of(settings(init_from=str(tmp_path / "first" / "model")))
