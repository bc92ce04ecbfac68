"""The figures that papers on learned compression report: MSE, PSNR, MS-SSIM, bits per pixel.

All take one pair of pictures, uint8 of shape (h, w, 3). A data set's figure is the mean over its pictures.
MS-SSIM is in numpy: a picture of any size fits, since each scale is worked through in strips of rows.

Gotcha: where a side is odd, the 2x2 mean between scales repeats the last row or column, as TensorFlow does.
pytorch-msssim pads with zeros there and differs a little. Kodak's sides are even at all scales, so all agree.
"""

from __future__ import annotations

import math

import numpy as np

from lic.errors import DataError

PEAK = 255.0
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, from fine to coarse
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# The window must fit into the coarsest scale: ceil(side / 2^4) >= 11.
MS_SSIM_MIN_SIDE = (WINDOW - 1) * 2 ** (len(MS_SSIM_WEIGHTS) - 1) + 1  # 161

_STRIP_PIXELS = 1 << 16  # a strip of all arrays stays in the processor's cache


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error over all samples of two uint8 pictures (h, w, 3), in squared steps of 0..255; exact.

    Raises DataError where the two are not pictures of one size.
    """
    _check_pair(a, b)
    total = 0
    for rows in _strips(a.shape[0], a.shape[1]):
        difference = a[rows].astype(np.int32) - b[rows]
        total += int(np.sum(difference * difference, dtype=np.int64))
    return total / a.size


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, over RGB together, peak 255; `inf` if equal. Raises as `mse`."""
    return psnr_of_mse(mse(a, b))


def psnr_of_mse(error: float) -> float:
    """PSNR in dB of a mean squared error in squared steps of 0..255; `inf` for 0."""
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Multi-scale structural similarity, at most 1 (equal): per channel of RGB, then the mean of the three.

    None where the shorter side has under 161 pixels: the window of 11 does not fit into the fifth scale then.
    A scale whose contrast-structure term is negative counts as 0. Raises DataError as `mse` does.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    return math.fsum(_channel_ms_ssim(a[..., c], b[..., c]) for c in range(3)) / 3


def ms_ssim_db(value: float) -> float:
    """MS-SSIM in dB, -10 log10(1 - value), as rate-distortion curves show it; `inf` for 1."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def bits_per_pixel(num_bytes: int, h: int, w: int) -> float:
    """Bits of a file of `num_bytes` bytes for each pixel of its (h, w) picture."""
    return 8 * num_bytes / (h * w)


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
    for picture in (a, b):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise DataError(
                f"a picture to measure is uint8 (h, w, 3), not {picture.dtype} of {picture.shape};"
                " read it with lic.images"
            )
    if a.shape != b.shape:
        sizes = " and ".join(f"{p.shape[1]}x{p.shape[0]}" for p in (a, b))
        raise DataError(f"pictures of {sizes} pixels cannot be compared; give two of one size")


def _strips(height: int, width: int) -> list[slice]:
    step = max(1, _STRIP_PIXELS // width)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _channel_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """a, b: (h, w), one channel."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = _halve(x), _halve(y)
        similarity, contrast = _similarity(x, y)
        coarsest = scale == len(MS_SSIM_WEIGHTS) - 1  # luminance counts only there
        product *= max(similarity if coarsest else contrast, 0.0) ** weight
    return product


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The means of SSIM and of its contrast-structure term over all places where the window fits."""
    height, width = (side - WINDOW + 1 for side in x.shape)
    similarity = contrast = 0.0
    for rows in _strips(height, width):
        above_and_below = slice(rows.start, rows.stop + WINDOW - 1)
        u, v = x[above_and_below], y[above_and_below]
        mean_u, mean_v = _blur(u), _blur(v)
        means, squared_means = 2 * mean_u * mean_v, mean_u**2 + mean_v**2
        cs = (_blur(2 * u * v) - means + C2) / (_blur(u * u + v * v) - squared_means + C2)
        contrast += float(cs.sum())
        similarity += float((cs * (means + C1) / (squared_means + C1)).sum())
    return similarity / (height * width), contrast / (height * width)


def window() -> np.ndarray:
    """float64 (WINDOW,): the Gaussian weights along one axis, whose sum is 1."""
    taps = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    return taps / taps.sum()


def _blur(x: np.ndarray) -> np.ndarray:
    """(h, w) -> (h - 10, w - 10): the Gaussian window, one axis after the other."""
    taps = window()
    h, w = (side - WINDOW + 1 for side in x.shape)
    x = sum(tap * x[i : i + h] for i, tap in enumerate(taps))
    return sum(tap * x[:, i : i + w] for i, tap in enumerate(taps))


def _halve(x: np.ndarray) -> np.ndarray:
    """(h, w) -> (ceil(h / 2), ceil(w / 2)): means of 2x2, an odd last row or column repeated."""
    x = np.pad(x, [(0, side % 2) for side in x.shape], mode="edge")
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
