"""The models of all three papers from pixels to strings and back, and their training step; on tiny presets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import arch_ops
import config
import swin_transformers_tf as swin
from config import PYTORCH, charm_hidden
from lic import coders, tables
from lic.arithmetic import CONTINUOUS, FLOAT32, PORTABLE
from lic.context import Context
from lic.model import STRIDE, pad
from lic.tables import Tables
from tests.scripts import SCRIPTS

# The forms of the full-size presets that the tiny ones don't have, tiny.
FORMS = {
    "swint-charm-tbtc": ("zyc2022", {"heads": 4, "conventions": PYTORCH, "prior_filters": (3,) * 4,
                                     "slice_hidden": charm_hidden(2, 8)}),
    "swint-hyperprior": ("zyc2022", {"entropy": "hyperprior", "conventions": PYTORCH}),
    "conv-charm": ("zyc2022", {"transforms": "conv", "conv_width": 8, "conventions": PYTORCH}),
    "conv-hyperprior": ("zyc2022", {"transforms": "conv", "conv_width": 8, "entropy": "hyperprior"}),
    "elic": ("hypmqw2022", {"hyper_rdft": True, "hyper_bias": False, "hyper_relu": True}),
    "elic-official": ("hypmqw2022", {"hyper_last_transposed": True, "channel_kernel": 5, "conventions": PYTORCH,
                                     "context_order": "spatial_first"}),
    "elic-chandelier": ("hypmqw2022", {"channel_context": "first_and_last", "context_order": "spatial_first",
                                       "conventions": dataclasses.replace(PYTORCH, hyper_order="means_first")}),
}

# Which models a convention is about; test_config sees to it that each field of Conventions is read at all.
CONVENTIONS = {
    "sigma": ("lsk2023", "zyc2022", "hypmqw2022"),
    "padding": ("lsk2023", "conv", "hypmqw2022"),
    "gdn": ("lsk2023", "conv"),
    "pixel_shuffle": ("lsk2023", "zyc2022"),
    "patch_merge": ("zyc2022",),
    "patch_split": ("zyc2022",),
    "anchors": ("hypmqw2022",),
    "hyper_order": ("zyc2022", "hypmqw2022"),
    "unit_relu": ("lsk2023", "hypmqw2022"),
}


def same_bits(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def assert_codes(model, x):
    """Strings lead back to exactly the y_hat that the estimate promised; returns it with the strings' bits."""
    estimate, encoded = model.estimate(x), model.encode(x)
    approved = []

    def approve(k, symbols, sound):
        approved.append((k, symbols, np.all(sound)))
        return symbols

    y_hat, symbols, complete = model.decode_latent(encoded.strings, encoded.escapes, *x.shape[1:3], approve=approve)
    np.testing.assert_array_equal(y_hat, estimate.y_hat)
    same_bits(symbols, encoded.symbols)
    assert complete and encoded.escapes.shape[0] == x.shape[0] and encoded.escapes.dtype == tf.int32
    numbers, shown, sound = zip(*approved)
    assert numbers == tuple(range(model.num_strings)) and all(sound), "each string is sound, and ends with its symbols"
    same_bits(shown, symbols)
    assert len(encoded.strings) == len(encoded.symbols) == len(model.string_names) == model.num_strings
    assert encoded.slack.shape == x.shape[:1] and np.all((encoded.slack >= 0) & (encoded.slack <= 0.5))
    return estimate, 8 * sum(len(s) for string in encoded.strings for s in string.numpy())


# Sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(1, 1), (37, 65), (64, 64), (257, 130)])
def test_picture_of_any_size_comes_back_in_its_size(tiny, picture, h, w):
    x = tf.constant(picture(h, w))
    y = tiny(x)
    assert y.shape == x.shape and np.isfinite(y).all()
    latent = tiny.analyse(pad(x))
    assert latent.shape[1:3] == (4 * -(-h // 64), 4 * -(-w // 64)), "64 is all that is ever padded to"


@pytest.mark.parametrize(("h", "w"), [(1, 1), (37, 65), (64, 128), (257, 130)])
def test_padding_repeats_the_last_row_and_column_up_to_multiples_of_64(picture, h, w):
    x = picture(h, w, 2)
    bottom, right = -h % STRIDE, -w % STRIDE
    np.testing.assert_array_equal(pad(tf.constant(x)), np.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), "edge"))


@pytest.mark.parametrize("script", ["zyc2022", "hypmqw2022"])   # between them they have all that TCM has, faster
def test_sizes_may_be_unknown_when_a_graph_is_made(lively, tiny_tables, picture, script):
    model = lively(script)
    model.freeze(*tiny_tables)
    model.round_kernels()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None, None, 3))])
    def encode(x):
        return [*model.encode(x)]

    for h, w in ((64, 64), (65, 40)):
        x = tf.constant(picture(h, w))
        strings, symbols, escapes, slack = encode(x)
        expected = model.encode(x)
        same_bits(strings, expected.strings)
        same_bits(symbols, expected.symbols)
        assert escapes.to_list() == expected.escapes.to_list() and np.all(slack == expected.slack)


# Coding ---------------------------------------------------------------------------------------------------------------


def test_decoder_reconstructs_exactly_what_was_estimated(tiny, picture):
    x = tf.constant(picture(100, 140, 2))
    estimate, bits = assert_codes(tiny, x)
    # TCM's last slice has a residual that synthesis alone sees; it is not rounded.
    settled = sum(tiny.context.depths[:-1] if getattr(tiny.context, "refine", None) else tiny.context.depths)
    assert not np.any(np.asarray(estimate.y_hat, np.float64)[..., :settled] * 256 % 1), "portable latents on the grid"
    assert settled >= tiny.preset.latent_depth / 2
    symbols = tiny.encode(x).symbols
    assert all(len(np.unique(s)) > 2 for s in symbols), "there is something to code in every string"
    # A flush of up to 2 bytes a string; and an escape code is shorter than the estimate for values that the scales,
    # random here, don't expect at all. test_coders holds the two against each other where scales are right.
    estimated = float(tf.reduce_sum(estimate.bits_y + estimate.bits_z))
    assert 0.75 * estimated < bits < 1.05 * estimated + 16 * 2 * tiny.num_strings
    np.testing.assert_array_equal(
        tiny.reconstruct(estimate.y_hat, 100, 140), np.clip(np.round(estimate.x_hat), 0, 255).astype(np.uint8))


def test_reconstruction_is_8_bit_rounded_and_clipped(tiny, monkeypatch):
    values = np.float32([-3, 0.4, 0.6, 254.5, 255.4, 300]).reshape(1, 1, 2, 3)
    monkeypatch.setattr(tiny, "synthesise", lambda y_hat, quality: tf.constant(values))
    picture = tiny.reconstruct(None, 1, 2)
    assert picture.dtype == tf.uint8 and picture.numpy().ravel().tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_papers_codes_exactly_and_trains_all_its_weights(variant, tiny_tables, picture, form):
    script, fields = FORMS[form]
    model = variant(script, **fields)
    assert_gradients(model, picture)
    model.freeze(*tiny_tables)
    model.round_kernels()
    estimate, _ = assert_codes(model, tf.constant(picture(70, 64)))
    assert np.isfinite(estimate.x_hat).all() and np.std(estimate.y_hat) > 0.1


def test_float32_arithmetic_codes_exactly_in_one_process(tiny, picture, monkeypatch):
    monkeypatch.setattr(tiny, "arithmetic", FLOAT32)
    estimate, _ = assert_codes(tiny, tf.constant(picture(64, 64)))
    assert np.any(np.asarray(estimate.y_hat, np.float64) * 256 % 1), "this one knows no grid"


def test_arithmetics_differ_by_what_they_round_alone(tiny, picture):
    """One 512th in each location, and what contexts make of it; a symbol flips here and there."""
    x = tf.constant(picture(64, 64))
    portable, single = (tiny.estimate(x, arithmetic=a).y_hat.numpy() for a in (PORTABLE, FLOAT32))
    assert np.median(np.abs(portable - single)) < 2.0 ** -8
    assert not np.array_equal(portable, single)


def test_bfloat16_transforms_leave_the_entropy_path_alone(build, tiny_tables, picture):
    model = build("lsk2023", precision="bfloat16")
    model.freeze(*tiny_tables)
    model.round_kernels()
    x = tf.constant(picture(64, 64))
    y = model.analyse(x)
    assert y.dtype == tf.float32 and model.g_a(tf.cast(x, tf.bfloat16)).dtype == tf.bfloat16
    estimate, _ = assert_codes(model, x)
    assert estimate.x_hat.dtype == tf.float32 and np.isfinite(estimate.x_hat).all()
    assert all(v.dtype == tf.float32 for v in model.trainable_variables)


def test_batch_of_two_is_two_batches_of_one(tiny, picture):
    x = tf.constant(picture(96, 64, 2))
    both, encoded = tiny.estimate(x), tiny.encode(x)
    for i in range(2):
        one, alone = tiny.estimate(x[i:i + 1]), tiny.encode(x[i:i + 1])
        same_bits([s[i:i + 1] for s in encoded.strings], alone.strings)
        same_bits([s[i:i + 1] for s in encoded.symbols], alone.symbols)
        np.testing.assert_array_equal(encoded.escapes[i], alone.escapes[0])
        assert np.abs(encoded.slack[i] - alone.slack[0]) < 1e-9, "steps; float64 sums of another batch size"
        np.testing.assert_array_equal(both.y_hat[i:i + 1], one.y_hat)
        # float32 sums, which another batch size may put in another order.
        np.testing.assert_allclose(both.x_hat[i:i + 1], one.x_hat, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(both.bits_y[i:i + 1], one.bits_y, rtol=1e-4)
        np.testing.assert_allclose(both.bits_z[i:i + 1], one.bits_z, rtol=1e-4)


def test_model_has_no_tables_before_it_is_frozen_and_builds_those_of_its_weights(build):
    model = build("zyc2022")
    assert not model.frozen
    model.freeze()
    assert model.frozen
    built = tables.factorised(model.prior)
    same_bits((model.em_z.cdf, model.em_z.cdf_offset), (built.cdf, built.offset))
    same_bits((model.em_y.cdf,), (coders.gaussian_tables().cdf,))
    before = model.em_z.cdf.numpy()
    for v in model.prior.trainable_variables:
        v.assign_add(0.5 * tf.random.normal(v.shape, seed=0))
    model.freeze()
    assert not np.array_equal(before, model.em_z.cdf), "frozen anew, it has the tables of its new weights"


def test_model_codes_with_tables_that_it_is_given(build, picture):
    model, x = build("zyc2022"), tf.constant(picture(64, 64))
    model.freeze()
    model.round_kernels()
    old = model.encode(x)
    y = Tables(model.em_y.cdf.numpy(), model.em_y.cdf_offset.numpy() - 1)
    z = Tables(model.em_z.cdf.numpy(), model.em_z.cdf_offset.numpy() - 1)
    model.freeze(y, z)
    same_bits((model.em_y.cdf_offset, model.em_z.cdf_offset), (y.offset, z.offset))
    new = model.encode(x)
    same_bits(old.symbols, new.symbols)
    assert any(np.any(a != b) for a, b in zip(old.strings[1:], new.strings[1:])) and old.strings[0] != new.strings[0]
    assert_codes(model, x)


# Conventions ----------------------------------------------------------------------------------------------------------

FLIPS = [(field, where) for field, at in CONVENTIONS.items() for where in at]


def other(conventions, field):
    old = getattr(conventions, field)
    return next(v for v in config._CONVENTIONS[field] if v != old)


def test_conventions_are_all_tried():
    assert {*CONVENTIONS, "likelihood_floor"} == {f.name for f in dataclasses.fields(config.Conventions)}
    assert all(len(allowed) == 2 for allowed in config._CONVENTIONS.values())


@pytest.mark.parametrize(("floor", "bits"), [(1e-9, 29.897), (0.0, 600_000)])
def test_symbol_far_out_costs_no_more_bits_than_the_likelihood_floor(variant, floor, bits):
    """100 with a deviation of 0.11: CompressAI stops at 1e-9; TFC counts on, since its coder escapes."""
    model = variant("hypmqw2022", conventions=dataclasses.replace(PYTORCH, likelihood_floor=floor))
    assert model.likelihood_floor == floor
    em = coders.GaussianModel(floor=model.likelihood_floor)
    _, counted = em(tf.fill((1, 1, 1, 1), 100.0), tf.zeros((1, 1, 1, 1)), training=False)
    assert float(counted[0]) == pytest.approx(bits, rel=0.05)


@pytest.fixture(scope="module")
def usual(variant):
    """usual(where): the tiny model that a flip is compared with, built once."""
    made = {}

    def of(where):
        if where not in made:
            script, fields = as_variant(where)
            made[where] = variant(script, **fields)
        return made[where]

    return of


SHALLOW = {"num_slices": 1, "max_support_slices": 1, "depths": (1, 1, 1), "hyper_depths": 1}   # TCM in half the time


def as_variant(where):
    if where == "conv":
        return "zyc2022", {"transforms": "conv", "conv_width": 8}
    return where, SHALLOW if where == "lsk2023" else {}


@pytest.mark.parametrize(("field", "where"), [   # TCM has none of its own
    pytest.param(*flip, marks=pytest.mark.slow if flip[1] == "lsk2023" else ()) for flip in FLIPS],
    ids=["-".join(flip) for flip in FLIPS])
def test_both_values_of_a_convention_work_and_differ(variant, usual, tiny_tables, picture, field, where):
    """With the same weights, as far as their shapes agree, the other value gives other numbers."""
    from lic import weights
    script, fields = as_variant(where)
    plain, x = usual(where), tf.constant(picture(70, 64))
    conventions = dataclasses.replace(plain.preset.conventions, **{field: other(plain.preset.conventions, field)})
    flipped = variant(script, conventions=conventions, **fields)
    source, target = weights.named_variables(plain), weights.named_variables(flipped)
    for name in set(source) & set(target):
        if source[name].shape == target[name].shape:
            target[name].assign(source[name])
    for model in (plain, flipped):
        model.freeze(*tiny_tables)
        model.round_kernels()
    estimates = [assert_codes(model, x)[0] for model in (plain, flipped)]
    assert all(np.isfinite(t).all() for e in estimates for t in e)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*estimates)), "the convention changes nothing"


@pytest.mark.parametrize("conventions", [PYTORCH, config.TENSORFLOW], ids=["pytorch", "tensorflow"])
@pytest.mark.parametrize("where", ["lsk2023", "zyc2022", "conv", "hypmqw2022"])
def test_every_layer_follows_the_conventions_of_its_preset(variant, where, conventions):
    """Not just one of them: the other value must not be forgotten in some corner."""
    script, fields = as_variant(where)
    seen = set()
    for layer in variant(script, conventions=conventions, **fields).submodules:
        found = {}
        if isinstance(layer, (arch_ops.SubpixelConv, swin.PatchSplitting)):
            found["pixel_shuffle"] = layer.shuffle
        if isinstance(layer, swin.PatchSplitting):
            found["patch_split"] = "norm_linear" if layer.norm_first else "linear_norm"
        if isinstance(layer, swin.PatchMerging):
            found["patch_merge"] = layer.order
        if isinstance(layer, (arch_ops.Conv, arch_ops.Deconv)) and layer.stride > 1 and layer.side > layer.stride:
            found["padding"] = layer.padding
        if isinstance(layer, arch_ops.GDN):
            found["gdn"] = layer.form
        if isinstance(layer, (arch_ops.AttentionBlock, arch_ops.SWAtten)):
            found["unit_relu"] = layer.unit_relu
        if isinstance(layer, Context):
            found["sigma"] = layer.sigma
        assert found == {name: getattr(conventions, name) for name in found}, layer.name
        seen |= set(found)
    rest = {"anchors", "hyper_order"}            # of the whole model, not of layers
    assert seen == {name for name, at in CONVENTIONS.items() if where in at or (
        where == "conv" and name == "sigma")} - rest


# Training -------------------------------------------------------------------------------------------------------------


def losses(model, x, lmbda=0.01):
    model.lmbda = lmbda
    return model.losses_of(x, training=True)


def assert_gradients(model, picture):
    from lic import weights
    named = {name: v for name, v in weights.named_variables(model).items() if v.trainable}
    assert {v.ref() for v in named.values()} == {v.ref() for v in model.trainable_variables}
    with tf.GradientTape() as tape:
        loss = losses(model, tf.constant(picture(64, 128, 2)))[0]
    gradients = dict(zip(named, tape.gradient(loss, list(named.values()))))
    assert not [name for name, g in gradients.items() if g is None], "no gradient at all"
    assert not [name for name, g in gradients.items() if not np.isfinite(tf.convert_to_tensor(g)).all()], "not finite"
    assert not [name for name, g in gradients.items() if not np.any(tf.convert_to_tensor(g) != 0)], "nothing but zeros"


def test_every_trainable_weight_receives_a_gradient(tiny, picture):
    assert_gradients(tiny, picture)


def test_loss_is_bits_per_pixel_of_the_picture_as_given_plus_lambda_times_mse(tiny, picture):
    x = picture(37, 65, 2)
    estimate = tiny.estimate(tf.constant(x))
    tiny.lmbda = 0.02
    loss, bpp, mse = (float(v) for v in tiny.losses_of(tf.constant(x.astype(np.uint8)), training=False))
    expected_bpp = np.mean(estimate.bits_y + estimate.bits_z) / (37 * 65)    # without the padding
    expected_mse = np.mean((x.astype(np.float64) - estimate.x_hat) ** 2)
    np.testing.assert_allclose((bpp, mse, loss), (expected_bpp, expected_mse, expected_bpp + 0.02 * expected_mse),
                               rtol=1e-5)   # float32 means of 14,430 samples


def test_training_sees_noisy_bits_of_exact_latents(tiny, picture):
    x = tf.constant(picture(64, 64))
    first, second, continuous = tiny.estimate(x, True), tiny.estimate(x, True), tiny.estimate(x, arithmetic=CONTINUOUS)
    assert first.bits_y != second.bits_y and first.bits_z != second.bits_z
    for noisy in (first, second):
        np.testing.assert_array_equal(noisy.y_hat, continuous.y_hat)
        np.testing.assert_array_equal(noisy.x_hat, continuous.x_hat)


@pytest.mark.parametrize("preset", ["tiny", "nano"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_training_starts_at_a_sane_loss(build, picture, script, preset):
    """The published TCM starts at 4e16. A black picture would cost 0.01 * 20,000; the rest are bits of a bad guess."""
    model = build(script, config.PRESETS[script][preset])
    loss, bpp, _ = losses(model, tf.constant(picture(128, 128, 2)))
    assert np.isfinite(loss) and loss < 5000 and bpp > 0


@pytest.mark.parametrize("script", ["zyc2022", "hypmqw2022"])
def test_a_few_training_steps_lower_the_loss_of_a_batch(build, picture, script):
    model = build(script)
    model.compile(tf.keras.optimizers.legacy.Adam(3e-3), 0.01)
    x = tf.constant(picture(64, 64, 2))
    start = [float(v) for v in model.losses_of(x, training=False)]
    for _ in range(5):
        logs = model.train_step(x)
    end = [float(v) for v in model.losses_of(x, training=False)]
    assert end[0] < 0.9 * start[0]
    assert set(logs) == {"loss", "bpp", "mse"} and all(np.isfinite(float(v)) for v in logs.values())


@pytest.mark.slow
def test_a_few_training_steps_of_tcm_lower_the_loss_and_run_as_a_graph(build, picture):
    """As `train` runs it. The published form crashes here on a CPU: oneDNN's filter gradient of a strided 1x1.

    The layer that did it is the skip of the first residual block: 3 channels, an even map.
    """
    model = build("lsk2023", dataclasses.replace(config.PRESETS["lsk2023"]["tiny"], **SHALLOW))
    model.compile(tf.keras.optimizers.legacy.Adam(3e-3), 0.01)
    step = tf.function(model.train_step, autograph=False)
    x = tf.constant(picture(64, 64, 2))
    start = float(model.losses_of(x, training=False)[0])
    for _ in range(5):
        logs = step(x)
    assert all(np.isfinite(float(v)) for v in logs.values())
    assert float(model.losses_of(x, training=False)[0]) < 0.9 * start


def test_metrics_are_means_over_the_steps(build, picture):
    model = build("zyc2022")
    model.compile(tf.keras.optimizers.legacy.Adam(1e-3), 0.01)
    pictures = [tf.constant(picture(64, 64, 1, seed)) for seed in (0, 1)]
    each = [[float(v) for v in model.losses_of(x, training=False)] for x in pictures]
    for x in pictures:
        logs = model.test_step(x)
    np.testing.assert_allclose([float(logs[n]) for n in ("loss", "bpp", "mse")], np.mean(each, 0), rtol=1e-5)
    assert [m.name for m in model.metrics] == ["loss", "bpp", "mse"]
