"""The way back of `lic.torch_names`: a model's weights under PyTorch's names, to hold against what was loaded.

Gotchas:
* The median is subtracted from the prior's first bias, to which it was added, which may move that one's last bits.
* Of `quantiles` only the median is a weight. The outer two are computed from the density: they are where its tails hold
  CompressAI's 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lic import torch_names, weights

TAIL_MASS = 1e-9


def to_state_dict(model) -> dict[str, np.ndarray]:
    """The weights of a model under PyTorch's names and in its layouts: what `load` takes, without buffers."""
    arrays = {path: v.numpy() for path, v in weights.named_variables(model).items()}
    arrays["prior/bias_0"] = (arrays["prior/bias_0"] - torch_names.prior_shift(arrays)).astype(np.float32)
    exported = {key: np.ascontiguousarray(layout.theirs(arrays[path]))
                for key, (path, layout) in torch_names.mapping(model).items()}
    quantiles = next(key for key in exported if key.endswith("quantiles"))
    exported[quantiles] += _tails(arrays)[:, None, :]
    return exported


def _tails(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(c, 3): how far from the median the density's tails begin, (-lower, 0, upper)."""
    logit = np.log(2 / TAIL_MASS - 1)
    near, far = np.zeros((2, *arrays["prior/median"].shape)), np.full((2, *arrays["prior/median"].shape), 2.0 ** 20)
    side = np.array([[-1], [1]])
    for _ in range(80):
        middle = (near + far) / 2
        beyond = side * _cumulative_logits(arrays, arrays["prior/median"] + side * middle) > logit
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    return np.stack([-far[0], np.zeros_like(far[0]), far[1]], -1).astype(np.float32)


def _cumulative_logits(arrays: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """Logits of the prior's cumulative density at z, (n, c) (Balle et al. 2018, appendix 6.1)."""
    x = np.asarray(z, np.float64).T[:, None, :]                               # (c, 1, n)
    for k in range(sum(path.startswith("prior/matrix_") for path in arrays)):
        x = np.logaddexp(0, arrays[f"prior/matrix_{k}"]) @ x + arrays[f"prior/bias_{k}"]
        if f"prior/factor_{k}" in arrays:
            x = x + np.tanh(arrays[f"prior/factor_{k}"]) * np.tanh(x)
    return x[:, 0].T
