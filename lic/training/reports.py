"""What a run says: lines on the terminal, and curves and pictures for TensorBoard."""

from __future__ import annotations

import math
import sys

import tensorflow as tf
from tqdm import tqdm

from lic import files
from lic.errors import DataError
from lic.op_errors import reason_of


def say(text: str) -> None:
    """A line, also where a bar stands."""
    tqdm.write(files.shown(text), file=sys.stderr)


def bar(epoch: int, epochs: int, steps: int, done: int) -> tqdm:
    """The progress of an epoch (from 0), where somebody watches."""
    return tqdm(total=steps, initial=done, unit="step", mininterval=1.0, leave=False,
                desc=f"epoch {epoch + 1}/{epochs}", disable=not sys.stderr.isatty())


def in_words(figures: dict[str, float]) -> str:
    """The means of an epoch."""
    return f"loss {figures['loss']:.4f}, {figures['bpp']:.3f} bpp, {_psnr(figures['mse']):.2f} dB"


def validation_in_words(figures: dict[str, float]) -> str:
    """The figures of whole pictures, to be put behind those of an epoch."""
    if not figures:
        return ""
    similarity = f", MS-SSIM {figures['validation/ms_ssim']:.4f}" if "validation/ms_ssim" in figures else ""
    return f"; validation {figures['validation/bpp']:.3f} bpp, {figures['validation/psnr']:.2f} dB{similarity}"


def _psnr(mse: float) -> float:
    return -10 * math.log10(max(mse, 1e-9) / 255 ** 2)


class Log:
    """TensorBoard's files in a folder."""

    def __init__(self, folder: str):
        self._folder, self._writer = folder, tf.summary.create_file_writer(folder)

    def write(self, epoch: int, scalars: dict[str, float], images: dict[str, tf.Tensor]) -> None:
        """The figures and pictures (b, h, w, 3) of an epoch, by name.

        Raises:
          DataError: they can't be written.
        """
        try:
            with self._writer.as_default(step=epoch):
                for name, value in scalars.items():
                    tf.summary.scalar(name, value)
                for name, pictures in images.items():
                    tf.summary.image(name, pictures)
            self._writer.flush()
        except tf.errors.OpError as error:
            raise DataError(f"TensorBoard's logs can't be written to '{self._folder}': {reason_of(error)}") from None


def beside_reconstructions(model, x: tf.Tensor) -> tf.Tensor:
    """Pictures uint8 (b, h, w, 3) -> (b, h, 2 w, 3): each beside what the model makes of it."""
    return tf.concat([x, to_pixels(model.estimate(tf.cast(x, tf.float32)).x_hat)], 2)


def to_pixels(x_hat: tf.Tensor) -> tf.Tensor:
    """A reconstruction as it would be seen: uint8."""
    return tf.cast(tf.round(tf.clip_by_value(x_hat, 0, 255)), tf.uint8)
