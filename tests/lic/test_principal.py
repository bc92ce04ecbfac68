"""The linear start: what it represents, and that a model begins there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import config
from lic import metrics, principal


@pytest.fixture(scope="module")
def patches(picture) -> np.ndarray:
    return np.concatenate([picture(64, 64, batch=4, seed=seed) for seed in range(6)]) / 255


def test_components_are_orthonormal_and_ordered_by_their_variance(patches):
    first, second = principal.stages(patches, [12, 20])
    np.testing.assert_allclose(first.components.T @ first.components, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(second.components.T @ second.components, np.eye(20), atol=1e-5)
    variances = np.var(principal._blocks(patches) @ first.components, (0, 1, 2))
    assert np.all(np.diff(variances) <= 1e-6) and first.mean == pytest.approx(patches.mean((0, 1, 2)))


def test_all_components_together_lose_nothing(patches):
    stage, = principal.stages(patches, [12])
    blocks = principal._blocks(patches)
    np.testing.assert_allclose(blocks @ stage.components @ stage.components.T, blocks, atol=1e-5)


def test_a_thousandth_of_the_values_lies_below_the_least(patches):
    stage, = principal.stages(patches, [12])
    below = np.mean(principal._blocks(patches) @ stage.components < stage.least, (0, 1, 2))
    np.testing.assert_allclose(below, 0.001, atol=2e-4)


@pytest.mark.parametrize("lmbda", [0.001, 0.1])
def test_scale_gives_the_step_at_which_bits_and_distortion_balance(lmbda):
    """More or less of a step costs more, where rate and distortion are those of a fine uniform quantiser."""
    loss = lambda step: -3 * np.log2(step) + lmbda * step ** 2 / 12
    best = 255 / principal.scale_of(lmbda)
    assert loss(best) < min(loss(best * 0.99), loss(best * 1.01))


PYTORCH, TENSORFLOW = config.PYTORCH, config.TENSORFLOW
BEGINNERS = {
    "ELIC same": ("hypmqw2022", dict(N=(14, 48, 90), groups=(32, 32, 64), conventions=TENSORFLOW)),
    "ELIC symmetric": ("hypmqw2022", dict(N=(14, 48, 90), groups=(32, 32, 64), conventions=PYTORCH)),
    "TCM inner": ("lsk2023", dict(N=(8, 24, 44), head_dims=(8, 8, 4), conventions=PYTORCH)),
    "TCM outer": ("lsk2023", dict(N=(8, 24, 44), head_dims=(8, 8, 4), conventions=TENSORFLOW)),
    "Swin rows first": ("zyc2022", dict(dims=(16, 48, 88, 128), resample_norm=False, conventions=PYTORCH)),
    "Swin columns first": ("zyc2022", dict(dims=(16, 48, 88, 128), resample_norm=False, conventions=dataclasses.replace(
        TENSORFLOW, patch_merge="columns_first"))),
    "Conv": ("zyc2022", dict(transforms="conv", conv_width=90)),
}


@pytest.mark.parametrize("name", BEGINNERS)
def test_model_begins_as_that_transform(name, build, patches, picture):
    script, fields = BEGINNERS[name]
    preset = dataclasses.replace(config.PRESETS[script]["tiny"], latent_depth=128, **fields)
    model = build(script, preset)
    x = picture(64, 128, seed=9)
    shown = lambda: metrics.psnr(x[0].astype(np.uint8), np.clip(np.round(model.synthesise(model.analyse(x))[0]), 0, 255)
                                 .astype(np.uint8))
    assert shown() < 15, "random weights show nothing"
    model.start_linear(patches, 0.01)
    kept = _linear(x / 255, principal.stages(patches, [12, 48, 88, 128]))
    assert shown() == pytest.approx(metrics.psnr(x[0].astype(np.uint8), kept), abs=2.5) and shown() > 28
    step = tf.round(model.analyse(x))
    assert 0.2 < np.std(step[..., 1:]) < 20, "a step of 1 is neither too fine nor too coarse"


def _linear(x: np.ndarray, stages: list[principal.Stage]) -> np.ndarray:
    """What the components keep of a picture, uint8."""
    sizes = [x.shape]
    for stage in stages:
        x = principal._blocks(x) @ stage.components
        sizes.append(x.shape)
    for stage, (n, h, w, c) in zip(stages[::-1], sizes[-2::-1]):
        blocks = (x @ stage.components.T).reshape(n, h // 2, w // 2, 2, 2, c)
        x = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
    return np.clip(np.round(255 * x[0]), 0, 255).astype(np.uint8)
