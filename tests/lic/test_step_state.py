"""What TensorFlow and JAX hand each other: whole, refused where it does not fit, and taken where it is further."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import config
from lic import registry, step_state, training, weights
from lic.errors import DataError
from lic.training import checkpoints

SCRIPT = "hypmqw2022"


def compiled(seed: int, ema: float = 0.9):
    """(state, model) of a run in which nothing is at its beginning."""
    tf.keras.utils.set_random_seed(seed)
    model = registry.build(SCRIPT, registry.preset(SCRIPT, "tiny"))
    model.compile(training.optimizer_of(config.Training()), 0.01)
    model.optimizer._create_all_weights(model.trainable_variables)
    average, steps = training.Average(model.trainable_variables, ema), tf.Variable(5 + seed, dtype=tf.int64)
    state = step_state.variables(model, average, steps)
    for name, v in state.items():
        if name.startswith(("adam_m/", "adam_v/", "average/")):
            v.assign(tf.random.uniform(v.shape))
    return state, model


@pytest.fixture(scope="module")
def run():
    return compiled(seed=1)


@pytest.fixture
def written(run, tmp_path):
    step_state.write(str(tmp_path), run[0])
    (tmp_path / "run.json").write_text(json.dumps({"script": SCRIPT, "preset": "tiny", "settings": {}}))
    return tmp_path


def test_state_is_all_that_a_run_hangs_on(run):
    state, model = run
    means = {v.ref() for metric in model.metrics for v in metric.variables}   # begin anew in each epoch
    of_model = {v.ref() for v in [*model.variables, *model.optimizer.variables()]} - means
    kept = {v.ref() for v in state.values()}
    assert of_model <= kept and len(kept) == len(state)
    assert sum(name.startswith("average/") for name in state) == len(model.trainable_variables)


def test_state_comes_back_whole(run, written):
    values = {name: v.numpy() for name, v in run[0].items()}
    for v in run[0].values():
        v.assign_add(tf.ones_like(v))
    step_state.restore(str(written / "state.npz"), run[0])
    for name, v in run[0].items():
        np.testing.assert_array_equal(v, values[name], err_msg=name)


def test_run_goes_on_from_the_state_where_that_is_further_than_its_checkpoint(written, tmp_path):
    def checkpoint_at(step: int) -> str:
        return tf.train.Checkpoint(steps=tf.Variable(step, dtype=tf.int64)).save(str(tmp_path / f"at{step}"))

    state = str(written / "state.npz")
    assert step_state.steps_of(state) == 6
    assert step_state.further(str(written), None) == state == step_state.further(str(written), checkpoint_at(5))
    assert step_state.further(str(written), checkpoint_at(6)) is None
    assert step_state.further(str(tmp_path / "nowhere"), None) is None


def test_run_stands_where_jax_left_its_state(written, tmp_path):
    assert checkpoints.stands_in(str(written)) and not checkpoints.stands_in(str(tmp_path / "nowhere"))
    (written / "state.npz").unlink()
    assert not checkpoints.stands_in(str(written))


def test_folder_with_a_state_is_a_model_with_its_averages(run, written):
    script, model = training.restore_model(str(written))
    assert script == SCRIPT and model.frozen
    for name, v in weights.named_variables(model).items():
        expected = run[0].get(f"average/{name}", run[0][f"weights/{name}"])
        np.testing.assert_array_equal(v, expected, err_msg=name)


@pytest.mark.slow
def test_state_of_a_run_without_averages_is_a_model_with_its_weights(run, tmp_path):
    state, _ = compiled(seed=3, ema=0.0)
    step_state.write(str(tmp_path), state)
    (tmp_path / "run.json").write_text(json.dumps({"script": SCRIPT, "preset": "tiny", "settings": {}}))
    _, model = training.restore_model(str(tmp_path))
    for name, v in weights.named_variables(model).items():
        np.testing.assert_array_equal(v, state[f"weights/{name}"], err_msg=name)
    with pytest.raises(DataError, match=r"does not fit this run \(other --preset or --ema\): it lacks \d+ arrays"):
        step_state.restore(str(tmp_path / "state.npz"), run[0])


def test_state_that_is_broken_or_of_another_shape_is_one_line_and_changes_nothing(run, tmp_path):
    path = str(tmp_path / "state.npz")
    arrays = {name: v.numpy() for name, v in run[0].items()}
    np.savez(path, **{**arrays, "weights/g_a/layers/0/kernel": np.zeros((1, 2))})
    with pytest.raises(DataError, match=r"does not fit: 1 arrays differ in shape, e\.g\. weights/g_a/layers/0/kernel"):
        step_state.restore(path, run[0])
    for data in (b"", b"no state", b"PK\x03\x04"):
        (tmp_path / "state.npz").write_bytes(data)
        for ask in (lambda: step_state.restore(path, run[0]), lambda: step_state.further(str(tmp_path), "x")):
            with pytest.raises(DataError, match="can't be read as the state of a run"):
                ask()
    for name, v in run[0].items():
        np.testing.assert_array_equal(v, arrays[name])
