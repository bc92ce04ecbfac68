"""Shared fixtures: tiny models whose weights make something of a picture, and pictures for them."""

from __future__ import annotations

import dataclasses
import os
import signal

import numpy as np
import pytest

from tests.scripts import SCRIPTS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any test imports TensorFlow
if "PYTEST_XDIST_WORKER" in os.environ:   # as many of these as cores: threads of each would be in the others' way
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# Where these tests run in the background Ctrl-C is ignored, and so it would be by the commands that they start. Not by
# `preexec_fn`, under which gRPC's handlers of forks may end a command before it begins.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _sigma_outputs(model):
    """(layer, its output channels that become sigma) of everything that puts out scales or scale indices."""
    if not hasattr(model.context, "parameters"):
        half = model.preset.latent_depth
        scales_first = model.preset.conventions.hyper_order == "scales_first"
        yield model.h_s.network.layers[-1], slice(0, half) if scales_first else slice(half, None)
        return
    for network in model.context.parameters:
        stack = getattr(network, "cc_scale", None) or getattr(network, "scale", None) or network
        layer = stack.layers[-1]
        half = 0 if stack is not network else layer.filters // 2
        yield layer, slice(half, None) if not half or model.context.means_first else slice(0, half)


def _last_kernel(net):
    """The weights that the size of a transform's output hangs on."""
    for layer in reversed(net.layers):
        if hasattr(layer, "kernel"):
            return layer.kernel
        if getattr(layer, "resample", None):
            return layer.resample.reduction.kernel


def _enliven(model, seed: int) -> None:
    """Weights under which latents, scales and supports vary; at its random start a model's symbols are nearly all 0."""
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    for v in model.trainable_variables:
        if v.shape.rank == 1 and "bias" in v.name:
            v.assign_add(tf.constant(rng.normal(0, 0.02, v.shape), tf.float32))
    x = tf.constant(rng.uniform(0, 255, (1, 64, 128, 3)), tf.float32)
    for net, of in ((model.g_a, model.analyse), (model.h_a, lambda x: model.h_a(model.analyse(x)))):
        kernel = _last_kernel(net)
        kernel.assign(kernel * (2 / np.std(of(x))))
    low, high = (0.4, 4) if model.context.sigma == "scale" else (12, 35)
    for layer, channels in _sigma_outputs(model):
        if hasattr(layer, "bias"):
            bias, kernel = layer.bias.numpy(), layer.kernel.numpy()
            bias[channels] = rng.uniform(low, high, bias[channels].shape)
            kernel[..., channels] *= 4
            layer.bias.assign(bias)
            layer.kernel.assign(kernel)


def _build(script: str, preset=None, seed: int = 0, **kwargs):
    """A model of a preset (default: tiny), with the weights that a seed gives."""
    import tensorflow as tf

    from lic import registry
    tf.keras.utils.set_random_seed(seed)
    return registry.build(script, preset or registry.preset(script, "tiny"), **kwargs)


def _lively(script: str, preset=None, seed: int = 0, **kwargs):
    model = _build(script, preset, seed, **kwargs)
    _enliven(model, seed)
    return model


def _picture(height: int, width: int, batch: int = 1, seed: int = 0) -> np.ndarray:
    """(b, h, w, 3) float32 in 0..255: waves, an edge and some noise, another picture each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 9.0
    pictures = [127 + 60 * np.sin(np.outer(rng.uniform(0.3, 2, 3), x).reshape(3, height, width) + y * rng.uniform(0, 2))
                + 40 * (x > rng.uniform(0, 1 + width / 9)) for _ in range(batch)]
    clean = np.moveaxis(np.stack(pictures), 1, -1)
    return np.clip(np.round(clean + rng.normal(0, 4, clean.shape)), 0, 255).astype(np.float32)


@pytest.fixture(scope="session")
def build():
    """build(script, preset, seed): a model with fresh weights, not frozen."""
    return _build


@pytest.fixture(scope="session")
def lively():
    """lively(script, preset, seed): the same with weights that make something of a picture."""
    return _lively


@pytest.fixture(scope="session")
def picture():
    """picture(height, width, batch, seed): (b, h, w, 3) float32."""
    return _picture


@pytest.fixture(scope="session", params=SCRIPTS)
def tiny(request):
    """The lively tiny model of each script in turn, ready to code; for all tests of a run, so nobody may change it."""
    model = _lively(request.param)
    model.freeze()
    model.round_kernels()
    return model


@pytest.fixture(scope="session")
def variant(lively):
    """variant(script, **fields): a lively tiny model of which some of the preset's fields are others."""
    from lic import registry

    def make(script: str, **fields):
        return lively(script, dataclasses.replace(registry.preset(script, "tiny"), **fields))

    return make


@pytest.fixture(scope="session")
def many_rates(lively):
    """many_rates(script): a lively tiny model of many rates, not frozen."""
    from lic import registry
    return lambda script: lively(script, registry.preset(script, "tiny-variable"))


@pytest.fixture(scope="session")
def tiny_tables():
    """(y, z) tables that any model with tiny's 8 channels of z can code with."""
    import tensorflow_compression as tfc

    from lic import coders, tables
    return coders.gaussian_tables(), tables.factorised(tfc.NoisyDeepFactorized(batch_shape=(8,)))
