"""Lowered functions in JAX: the results, the state and the noise that TensorFlow has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import step_export, training

pytest.importorskip("jax")

from lic.pjrt.program import Program


def state() -> dict[str, tf.Variable]:
    """Of several types and shapes; "fixed" is never assigned, "rare" only now and then."""
    rng = np.random.default_rng(0)
    values = {"kernel": rng.normal(size=(3, 3, 3, 4)), "matrix": rng.normal(size=(4, 5)), "fixed": [2.0],
              "rare": [0.0, 0.0]}
    variables = {name: tf.Variable(value, dtype=tf.float32) for name, value in values.items()}
    return {**variables, "steps": tf.Variable(0, dtype=tf.int64)}


def function(variables: dict[str, tf.Variable]):
    """A step that has in it what a training step has: products, noise, assignments, a condition, integers."""
    def call(x, unused, rate, seed):
        with training.noise_from(seed, variables["steps"]):
            noise = tf.random.uniform((2, 4, 4, 5), -0.5, 0.5)
        y = tf.nn.conv2d(tf.cast(x, tf.float32), variables["kernel"], 2, "SAME") @ variables["matrix"] + noise
        variables["matrix"].assign_sub(rate * tf.reduce_mean(y) * variables["matrix"])
        variables["kernel"].assign_add(rate * variables["fixed"] * tf.ones((3, 3, 3, 4)))
        steps = variables["steps"].assign_add(1)
        tf.cond(steps % 2 == 0, lambda: variables["rare"].assign([1.0, 2.0]).op, tf.no_op)
        return {"y": y, "noise": noise}
    return call


ARGUMENTS = {"x": tf.TensorSpec((2, 8, 8, 3), tf.uint8), "unused": tf.TensorSpec((), tf.float32),
             "rate": tf.TensorSpec((), tf.float32), "seed": tf.TensorSpec((), tf.int64)}
X = np.random.default_rng(1).integers(0, 255, (2, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def lowered() -> step_export.Program:
    variables = state()
    return step_export.lower(function(variables), ARGUMENTS, variables)


def in_jax(lowered, steps: int, bfloat16: bool = False):
    program = Program(lowered.hlo, lowered.about, bfloat16)
    values = {name: v.numpy() for name, v in state().items()}
    for _ in range(steps):
        values, results = program(values, x=X, unused=np.float32(0), rate=np.float32(0.01), seed=np.int64(7))
    return {name: np.asarray(v) for name, v in {**values, **results}.items()}


def in_tensorflow(steps: int) -> dict[str, np.ndarray]:
    variables = state()
    compiled = tf.function(function(variables), jit_compile=True, autograph=False)
    for _ in range(steps):
        results = compiled(X, 0.0, 0.01, tf.constant(7, tf.int64))
    return {name: v.numpy() for name, v in {**variables, **results}.items()}


def test_program_gives_what_tensorflow_gives_and_changes_the_state_as_it_does(lowered):
    for steps in (1, 2, 5):
        expected, found = in_tensorflow(steps), in_jax(lowered, steps)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=1e-4, err_msg=f"{name} after {steps} steps")
        assert found["steps"] == steps and found["rare"][1] == (2 if steps > 1 else 0)


def test_noise_is_the_same_bits_in_both_and_another_in_each_step(lowered):
    noises = [in_jax(lowered, steps)["noise"] for steps in (1, 2)]
    for steps, noise in enumerate(noises, 1):
        np.testing.assert_array_equal(noise, in_tensorflow(steps)["noise"])
        assert noise.min() < -0.4 and noise.max() > 0.4
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.3


def test_state_that_only_the_function_reads_keeps_its_name_and_value(lowered):
    assert set(lowered.about["inputs"]) == set(state()) and list(lowered.about["arguments"]) == list(ARGUMENTS)
    assert in_jax(lowered, 2)["fixed"] == [2.0]


def test_bfloat16_rounds_what_is_multiplied_and_nothing_else(lowered):
    """What a processor may undo: it has no such products, and XLA lets it keep the digits."""
    program = Program(lowered.hlo, lowered.about, bfloat16=True)
    values = {name: v.numpy() for name, v in state().items()}
    lines = program._run.lower(values, [X, np.float32(0), np.float32(0), np.int64(0)]).as_text().splitlines()
    convolutions = [line for line in lines if "stablehlo.convolution" in line]
    products = [line for line in lines if "stablehlo.dot" in line]
    assert sum("xbf16>" in line.split("->")[-1] for line in convolutions) == 1
    assert products and all("xbf16>" in line.split("->")[0] for line in products)
    assert all(line.split("->")[-1].strip().endswith("xf32>") for line in products)
    exact, rounded = in_jax(lowered, 1), in_jax(lowered, 1, bfloat16=True)
    assert rounded["y"].dtype == np.float32
    np.testing.assert_allclose(rounded["y"], exact["y"], atol=0.02 * np.abs(exact["y"]).max())
    np.testing.assert_array_equal(rounded["kernel"], exact["kernel"])
