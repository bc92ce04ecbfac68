"""Parameters and multiply-accumulates of a model, counted by its graph."""

from __future__ import annotations

from typing import Callable

import numpy as np
import tensorflow as tf

from lic.arithmetic import CONTINUOUS
from lic.coders import Estimator, GaussianModel
from lic.model import LatentCodec


def parameters(model: LatentCodec) -> tuple[int, int]:
    """Trainable parameters (of the networks, of the factorised prior)."""
    count = lambda variables: sum(int(np.prod(v.shape)) for v in variables)
    prior = count(model.prior.trainable_variables)
    return count(model.trainable_variables) - prior, prior


def _size(tensor) -> int:
    return int(np.prod(tensor.shape))


def _macs_of(op: tf.Operation) -> int:
    """Multiply-accumulates of one operation; only products count, as usual in the field."""
    if op.type == "Conv2D":
        return _size(op.outputs[0]) * _size(op.inputs[1]) // op.inputs[1].shape[-1]
    if op.type == "Conv2DBackpropInput":      # a transposed convolution: each input meets each tap
        return _size(op.inputs[2]) * _size(op.inputs[1]) // op.inputs[1].shape[-1]
    if op.type in ("MatMul", "BatchMatMulV2"):
        transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
        return _size(op.outputs[0]) * op.inputs[0].shape[-2 if transposed else -1]
    return 0


def macs(function: Callable, *arguments: tf.TensorSpec) -> int:
    """Multiply-accumulates of one call of a function with arguments of static shapes."""
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph
    return sum(_macs_of(op) for op in graph.get_operations())


def kmacs_per_pixel(model: LatentCodec, side: int = 256) -> dict[str, float]:
    """Thousands of multiply-accumulates a pixel: analysis, hyper_analysis, hyper_synthesis, context, synthesis, and
    the sums encode and decode, on a picture of side x side (a multiple of 256, so that no window is padded)."""
    spec = tf.TensorSpec
    x = spec((1, side, side, 3))
    y = spec((1, side // 16, side // 16, model.preset.latent_depth))
    z = spec((1, side // 64, side // 64, model.preset.hyper_depth))

    def hyper(z_hat):
        return model.h_s(z_hat)

    def entropy(z_hat, y):
        coder = Estimator(GaussianModel(), model.context.parts(y), CONTINUOUS)
        return model.context.code(hyper(z_hat), coder)

    stages = {"analysis": macs(model.analyse, x), "hyper_analysis": macs(model.h_a, y),
              "hyper_synthesis": macs(hyper, z), "synthesis": macs(model.synthesise, y)}
    stages["context"] = macs(entropy, z, y) - stages["hyper_synthesis"]
    shared = stages["hyper_synthesis"] + stages["context"]
    stages["encode"] = stages["analysis"] + stages["hyper_analysis"] + shared
    stages["decode"] = stages["synthesis"] + shared
    return {name: round(n / side ** 2 / 1000, 3) for name, n in stages.items()}
