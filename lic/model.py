"""The Keras model under every paper: losses, training step, and the way from pixels to strings and back.

Symbols as in the papers: x picture, y latent, z hyper latent, g_a / g_s analysis and synthesis, h_a / h_s their hyper
twins. Pictures are (b, h, w, 3) in 0..255; y is at 1/16, z at 1/64.

Gotchas:
* The picture is padded once, to a multiple of 64 by repeating its edge, and cropped once.
* Rates are bits per pixel of the picture as given, without padding.
* What is called y is scaled by the gains of the quality, where a model has such (`lic.gains`).
* `freeze()` and `round_kernels()` must follow the last change of the weights: range coding works from integer tables,
  and machines agree on sums of integers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

import config
from config import Preset
from lic import coders, kernels, principal, tables
from lic.arithmetic import CONTINUOUS, PORTABLE, Arithmetic
from lic.coders import Coder, Decoder, Encoder, Escapes, Estimator, FactorisedModel, GaussianModel, Teller
from lic.distortion import Distortion, mse
from lic.gains import Gains
from lic.tables import Tables
from lic.tiling import LATENT_STRIDE, STRIDE


class Estimate(NamedTuple):
    """What a forward pass gives: reconstruction (b, h, w, 3), quantised latent, and bits, (b,) each.

    Bits for each position are maps instead: (b, h/16, w/16) of y and (b, h/64, w/64) of z, of the padded picture.
    """

    x_hat: tf.Tensor
    y_hat: tf.Tensor
    bits_y: tf.Tensor
    bits_z: tf.Tensor


class Encoded(NamedTuple):
    """Strings and symbols in the order z, parts of y: (b,) string tensors and int32 tensors.

    `escapes` are the values of the symbols that no table holds, int32, a row for each picture, and `slack` (b,) is how
    close to a tie the closest rounding was, in steps of its grid.
    """

    strings: list
    symbols: list
    escapes: tf.RaggedTensor
    slack: tf.Tensor


class Decoded(NamedTuple):
    """The quantised latent (b, h/16, w/16, M), the int32 symbols (z first), and whether all escapes found a place."""

    y_hat: tf.Tensor
    symbols: list
    complete: tf.Tensor


def pad(x: tf.Tensor, multiple: int = STRIDE) -> tf.Tensor:
    """(b, h, w, c) -> the same with the last row and column repeated up to multiples."""
    for axis in (1, 2):
        size = tf.shape(x)[axis]
        padded = size + -size % multiple
        x = tf.gather(x, tf.minimum(tf.range(padded), size - 1), axis=axis)
    return x


def cut(y: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """The latents of a box of pixels, (top, left, height, width), from a multiple of 64 up to whole ones of z."""
    top, left, height, width = tf.unstack(box)
    bottom, right = top + -(-height // STRIDE) * STRIDE, left + -(-width // STRIDE) * STRIDE
    top, left, bottom, right = (side // LATENT_STRIDE for side in (top, left, bottom, right))
    return y[:, top:bottom, left:right]


def flat(maps: list[tf.Tensor]) -> tf.Tensor:
    """Maps (b, ...) -> (b, n), one after another."""
    return tf.concat([tf.reshape(x, (tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:]))) for x in maps], 1)


class LatentCodec(tf.keras.Model):
    """A transform coder with hyperprior and context; a paper's class builds its parts.

    A subclass sets `g_a`, `g_s`, `h_a`, `h_s` (whose output is what its context calls `hyper`) and `context`.

    Args:
      preset: the architecture.
      precision: type of analysis and synthesis, "float32" or "bfloat16".
      arithmetic: of the entropy path when coding and in evaluation.
      xla: whether analysis and synthesis are compiled with XLA (for each size of picture anew).
    """

    def __init__(self, preset: Preset, precision: str = "float32", arithmetic: Arithmetic = PORTABLE,
                 xla: bool = False):
        super().__init__(name=preset.name.replace("-", "_"))
        self.preset, self.arithmetic, self.xla = preset, arithmetic, xla
        self.transform_dtype = tf.as_dtype(precision)
        self.likelihood_floor = preset.conventions.likelihood_floor
        self.prior = tfc.NoisyDeepFactorized(batch_shape=(preset.hyper_depth,), num_filters=preset.prior_filters)
        # CompressAI's priors have a learned median; ours stays at zero.
        self.z_median = self.add_weight(name="z_median", shape=(preset.hyper_depth,), initializer="zeros",
                                        trainable=False)
        self.gains = Gains(preset.lambdas, preset.latent_depth) if preset.lambdas else None
        self.distortion: Distortion = mse
        self.coding_models: tuple[GaussianModel, FactorisedModel] | None = None
        self._kernels_rounded = False

    def build_weights(self) -> None:
        """Creates all weights, by one pass over the smallest picture."""
        self.estimate(tf.zeros((1, STRIDE, STRIDE, 3)), arithmetic=CONTINUOUS)
        self.built = True

    @staticmethod
    def can_start_linear(preset: Preset) -> bool:
        """Whether `start_linear` is possible; not where a resampling normalises."""
        return True

    def start_linear(self, patches: np.ndarray, lmbda: float) -> None:
        """Makes the transforms begin as good linear ones (`lic.principal`); patches (n, h, w, 3) in 0..1."""
        principal.start(self.g_a, self.g_s, patches, lmbda)

    # Transforms -------------------------------------------------------------------------------------------------

    def analyse(self, x: tf.Tensor, quality: tf.Tensor | None = None) -> tf.Tensor:
        """Padded picture -> y, (b, h/16, w/16, M) float32; quality (b,) of a model with many rates, 1..100."""
        y = tf.cast(self._compiled(self.g_a)(tf.cast(x, self.transform_dtype) / 255), tf.float32)
        return self.gains.scale(y, self._quality_of(y, quality)) if self.gains else y

    def synthesise(self, y_hat: tf.Tensor, quality: tf.Tensor | None = None) -> tf.Tensor:
        """y_hat -> padded reconstruction in 0..255, float32, not clipped."""
        if self.gains:
            y_hat = self.gains.unscale(y_hat, self._quality_of(y_hat, quality))
        return tf.cast(self._compiled(self.g_s)(tf.cast(y_hat, self.transform_dtype)), tf.float32) * 255

    def _compiled(self, transform):
        return tf.function(transform, jit_compile=True, autograph=False) if self.xla else transform

    @staticmethod
    def _quality_of(x: tf.Tensor, quality: tf.Tensor | None) -> tf.Tensor:
        return tf.fill(tf.shape(x)[:1], config.DEFAULT_QUALITY) if quality is None else quality

    def predict(self, z_hat: tf.Tensor, coder: Coder) -> tf.Tensor:
        """Has the coder go through all of y; returns y_hat, (b, h/16, w/16, M)."""
        with coder.multiplying():
            return self.context.code(self.h_s(z_hat), coder)

    # Estimating -------------------------------------------------------------------------------------------------

    def estimate(self, x: tf.Tensor, training: bool = False, arithmetic: Arithmetic | None = None,
                 quality: tf.Tensor | None = None, per_position: bool = False) -> Estimate:
        """Forward pass with the rate it would cost: by the tables of a frozen model, or where there are none, or scale
        indices are no whole numbers, by the densities, which is differentiable.

        Args:
          quality: (b,) as of `analyse`.
          per_position: whether bits stay apart for each position of y and z.
        """
        arithmetic = CONTINUOUS if training else arithmetic or self.arithmetic
        y = self.analyse(pad(x), quality)
        coder = self._estimator(self.context.parts(y), arithmetic, training, 1 if per_position else 3)
        return self.estimate_latent(y, coder, tf.shape(x)[1:3], quality)

    def _estimator(self, parts, arithmetic: Arithmetic, training: bool, axes: int) -> Estimator:
        if self.frozen and arithmetic.round_index:
            return Teller(self.em_y, parts, arithmetic, axes)
        return Estimator(GaussianModel(floor=self.likelihood_floor, axes=axes), parts, arithmetic, training)

    def estimate_latent(self, y: tf.Tensor, coder: Estimator, size: tf.Tensor, quality: tf.Tensor | None = None
                        ) -> Estimate:
        """The same of a latent of pictures of a size (height, width), whose parts the coder holds."""
        z = self.h_a(y) - self.z_median
        em_z = FactorisedModel(self.prior, floor=self.likelihood_floor, axes=coder.axes)
        _, bits_z = em_z(z, training=coder.training)
        y_hat = self.predict(em_z.quantize(z) + self.z_median, coder)
        x_hat = self.synthesise(y_hat, quality)[:, :size[0], :size[1]]
        return Estimate(x_hat, y_hat, (tf.add_n if coder.axes == 3 else self.context.joined)(coder.bits), bits_z)

    def call(self, x, training=False):
        return self.estimate(x, training).x_hat

    # Coding -----------------------------------------------------------------------------------------------------

    @property
    def num_strings(self) -> int:
        """Strings a picture: one for z and one for each part of y."""
        return 1 + self.context.num_parts

    @property
    def frozen(self) -> bool:
        """Whether there are range-coding tables."""
        return self.coding_models is not None

    @property
    def em_y(self) -> GaussianModel:
        """The entropy model of y that codes."""
        assert self.coding_models, "freeze() comes before coding"
        return self.coding_models[0]

    @property
    def em_z(self) -> FactorisedModel:
        """The entropy model of z that codes."""
        assert self.coding_models, "freeze() comes before coding"
        return self.coding_models[1]

    def freeze(self, y: Tables | None = None, z: Tables | None = None) -> None:
        """Sets the range-coding tables: those given, or built from the weights as they are now."""
        self.coding_models = (GaussianModel(y or coders.gaussian_tables()),
                              FactorisedModel(self.prior, z or tables.factorised(self.prior)))

    def round_kernels(self) -> None:
        """Rounds those that decide symbols, where they are multiplied by integers (`lic.kernels`)."""
        if self.arithmetic.integers:
            kernels.round_all(self)
        self._kernels_rounded = True

    @property
    def _coding_arithmetic(self) -> Arithmetic:
        assert self._kernels_rounded, "round_kernels() comes before coding"
        return self.arithmetic

    @property
    def string_names(self) -> list[str]:
        """What the strings hold."""
        return ["z", *self.context.part_names]

    def encode(self, x: tf.Tensor, phase: tf.Tensor | None = None, quality: tf.Tensor | None = None) -> Encoded:
        """Pictures (b, h, w, 3) -> strings and symbols.

        Args:
          phase: (b,) int32, see `lic.coders.Coder`.
          quality: (b,) as of `analyse`.
        """
        return self.encode_latent(self.analyse(pad(x), quality), phase)

    def encode_latent(self, y: tf.Tensor, phase: tf.Tensor | None = None) -> Encoded:
        """The same of a latent (b, h/16, w/16, M)."""
        z = coders.bounded_symbols(self.h_a(y) - self.z_median)
        z_string, z_escaped = self.em_z.encode(z)
        coder = Encoder(self.em_y, self.context.parts(y), self._coding_arithmetic, phase)
        self.predict(self._z_hat(z), coder)
        slack = tf.reduce_min(coder.slack, 0) if coder.slack else tf.fill(tf.shape(y)[:1], tf.constant(0.5, tf.float64))
        symbols = [z, *coder.symbols]
        escapes = tf.ragged.boolean_mask(flat(symbols), flat([z_escaped, *coder.escaped]))
        return Encoded([z_string, *coder.strings], symbols, escapes, slack)

    def _z_hat(self, symbols: tf.Tensor) -> tf.Tensor:
        return tf.cast(symbols, tf.float32) + self.z_median

    def decode_latent(self, strings, escapes: tf.RaggedTensor, height: tf.Tensor, width: tf.Tensor,
                      phase: tf.Tensor | None = None, approve: Callable = lambda k, symbols, sound: symbols) -> Decoded:
        """Strings and escapes of pictures of one size -> their latents.

        Args:
          approve: called with the number of each string, its symbols and whether it was sound, (b,); returns the
            symbols; fails where they are wrong, and nothing is made of them then.
        """
        shape, left = (-(-height // STRIDE), -(-width // STRIDE)), Escapes(escapes)
        z, escaped, sound = self.em_z.decode(strings[0], shape)
        symbols = approve(0, left.fill(z, escaped), sound)
        coder = Decoder(self.em_y, strings[1:], left, self._coding_arithmetic, phase,
                        lambda k, *part: approve(k + 1, *part))
        y_hat = self.predict(self._z_hat(symbols), coder)
        return Decoded(y_hat, [symbols, *coder.symbols], left.used_up())

    def reconstruct(self, y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor, top: tf.Tensor | int = 0,
                    left: tf.Tensor | int = 0, quality: tf.Tensor | None = None) -> tf.Tensor:
        """y_hat -> pictures, uint8 (b, height, width, 3); what is above `top` and left of `left` is cut off, too."""
        x_hat = self.synthesise(y_hat, quality)[:, top:top + height, left:left + width]
        return tf.cast(tf.round(tf.clip_by_value(x_hat, 0, 255)), tf.uint8)

    # Training ---------------------------------------------------------------------------------------------------

    def compile(self, optimizer, lmbda: float | None = None, distortion: Distortion = mse, **kwargs):
        """Sets the optimizer, and lambda and distortion of bits per pixel + lambda * distortion.

        Models of many rates have lambdas of their own, for the MSE.
        """
        assert (lmbda is None) == bool(self.gains)
        super().compile(optimizer=optimizer, **kwargs)
        self.lmbda, self.distortion = lmbda, distortion
        self.means = [tf.keras.metrics.Mean(name=n) for n in ("loss", "bpp", "mse")]

    @property
    def metrics(self):
        return getattr(self, "means", [])

    def losses_of(self, x: tf.Tensor, training: bool):
        """(loss, bits per pixel, MSE) of a batch; each picture has a quality of its own where there are many rates."""
        x = tf.cast(x, tf.float32)
        quality = tf.random.uniform(tf.shape(x)[:1], *config.QUALITIES) if self.gains and training else None
        estimate = self.estimate(x, training, quality=quality)
        pixels = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        bpp = (estimate.bits_y + estimate.bits_z) / pixels
        loss = self._weighed(bpp, self.distortion(x, estimate.x_hat), self._quality_of(x, quality))
        return tuple(map(tf.reduce_mean, (loss, bpp, mse(x, estimate.x_hat))))

    def _weighed(self, bpp: tf.Tensor, distortion: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
        """The loss of each picture, (b,)."""
        if not self.gains:
            return bpp + self.lmbda * distortion
        return self.gains.weight_of(quality) * (bpp + self.gains.lambda_of(quality) * distortion)

    def update_means(self, values):
        """Takes in (loss, bits per pixel, MSE) of a batch and returns the means so far, by name."""
        for metric, value in zip(self.means, values):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.means}

    def learn(self, x: tf.Tensor):
        """Changes the weights by a step; returns what `losses_of` gives."""
        with tf.GradientTape() as tape:
            values = self.losses_of(x, training=True)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(values[0], variables), variables))
        return values

    def train_step(self, x):
        return self.update_means(self.learn(x))

    def test_step(self, x):
        return self.update_means(self.losses_of(x, training=False))
