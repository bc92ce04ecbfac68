"""One model for many rates: what its gains do, and files of every quality by each door."""

from __future__ import annotations

import io
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import config
import lic
from lic import bitstream, cli, images, rate_control, registry, weights
from lic import files as lic_files
from lic.errors import DataError, UsageError
from lic.gains import Gains
from lic.metrics import bits_per_pixel, psnr

SCRIPT = "hypmqw2022"
LAMBDAS = (0.001, 0.01, 0.1)
QUALITIES = (1, 20.5, 50, 80, 100)


@pytest.fixture(scope="module")
def model(many_rates):
    """A tiny model of many rates, ready to code."""
    made = many_rates(SCRIPT)
    made.freeze()
    made.round_kernels()
    return made


@pytest.fixture(scope="module")
def coder(saved_many):
    return lic.load(str(saved_many), stored=False)


@pytest.fixture(scope="module")
def x(picture) -> np.ndarray:
    return picture(90, 140)[0].astype(np.uint8)


@pytest.fixture(scope="module")
def files(coder, x) -> dict[float, bytes]:
    return {quality: coder.compress(x, quality=quality) for quality in QUALITIES}


# The layer ------------------------------------------------------------------------------------------------------------

def test_fresh_gains_scale_in_steps_that_fit_their_lambdas():
    """Twice the lambda asks for half the distortion, which is a step smaller by the root of two."""
    gains, y = Gains(LAMBDAS, 4), tf.ones((3, 1, 1, 4))
    quality = tf.constant([1.0, 50.5, 100.0])
    np.testing.assert_allclose(gains.lambda_of(quality), LAMBDAS, rtol=1e-5)
    np.testing.assert_allclose(gains.scale(y, quality)[:, 0, 0, 0], np.sqrt(np.array(LAMBDAS) / 0.01), rtol=1e-5)
    np.testing.assert_allclose(gains.unscale(gains.scale(y, quality), quality), y, rtol=1e-5)


def test_gains_between_two_rungs_are_interpolated_in_the_logarithm():
    gains = Gains(LAMBDAS, 2)
    rows = np.array([[0.0, 1.0], [2.0, -1.0], [3.0, 0.0]], np.float32)
    gains.log_gain.assign(rows)
    quality = np.linspace(1, 100, 45).astype(np.float32)
    expected = [np.interp((quality - 1) / 99 * 2, [0, 1, 2], column) for column in rows.T]
    found = np.log(gains.scale(tf.ones((45, 1, 1, 2)), quality)[:, 0, 0])
    np.testing.assert_allclose(found, np.stack(expected, 1), atol=1e-5)


def test_gains_and_inverses_learn_apart():
    gains, y = Gains(LAMBDAS, 2), tf.ones((1, 1, 1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gains.scale(y, tf.constant([30.0])))
    by_gain, by_inverse = tape.gradient(loss, [gains.log_gain, gains.log_inverse])
    assert by_inverse is None and np.count_nonzero(tf.convert_to_tensor(by_gain)) == 4, "the two rungs around it"


# The preset -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("script", config.PRESETS)
def test_every_preset_may_have_many_rates_and_none_has_them_by_itself(script):
    for name, preset in config.PRESETS[script].items():
        many = registry.preset(script, f"{name}-variable")
        assert not preset.lambdas and many.lambdas and many.code == preset.code
        assert config.variable(preset) == many
    with pytest.raises(UsageError, match="-variable"):
        registry.preset(script, "none-variable")


def test_only_gains_distinguish_the_weights_of_the_two(model, build):
    plain = weights.named_variables(build(SCRIPT))
    assert set(weights.named_variables(model)) - set(plain) == {"gains/log_gain", "gains/log_inverse"}


# Training -------------------------------------------------------------------------------------------------------------

def test_loss_weighs_each_picture_by_its_own_lambda(build):
    model = build(SCRIPT, registry.preset(SCRIPT, "tiny-variable"))
    model.compile("sgd")
    quality = tf.constant([1.0, 100.0])
    loss = model._weighed(tf.constant([0.1, 1.0]), tf.constant([100.0, 10.0]), quality)
    np.testing.assert_allclose(loss, [200 ** 0.25 * (0.1 + 0.04), 200 ** -0.25 * (1 + 0.8)], rtol=1e-4)


def test_training_draws_qualities_and_moves_the_gains(build, picture):
    model = build(SCRIPT, registry.preset(SCRIPT, "tiny-variable"))
    model.compile(tf.keras.optimizers.legacy.Adam(1e-3))
    before = model.gains.log_gain.numpy()
    x = picture(64, 64, batch=4)
    first = model.train_step(x)["loss"].numpy()
    moved = np.abs(model.gains.log_gain.numpy() - before).max(1) > 0
    assert np.isfinite(first) and moved.sum() >= 2
    assert model.losses_of(x, True)[0] != model.losses_of(x, True)[0], "other qualities each time"


# Files ----------------------------------------------------------------------------------------------------------------

def test_rate_rises_with_the_quality(files):
    sizes = [len(data) for data in files.values()]
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0], sizes


def test_quality_stands_in_the_file_in_halves(files, coder, x):
    assert [bitstream.parse(data)[0].quality for data in files.values()] == list(QUALITIES)
    assert coder.compress(x, quality=20.4) == files[20.5]
    assert coder.compress(x) == files[50], "the default"


def test_files_are_those_of_the_model(model, files, coder, x):
    for quality in (1, 100):
        estimate = model.estimate(tf.constant(x[None], tf.float32), quality=tf.constant([float(quality)]))
        shown = model.reconstruct(estimate.y_hat, *x.shape[:2], quality=tf.constant([float(quality)]))[0]
        assert np.abs(shown.numpy().astype(int) - coder.decompress(files[quality])).max() <= 1


def test_graph_of_exported_models_writes_and_reads_the_same(files, coder, x):
    for quality, data in files.items():
        assert coder.graph.compress_pixels(x, quality).numpy() == data
        np.testing.assert_array_equal(coder.graph.decompress_pixels(data), coder.decompress(data))


@pytest.mark.parametrize("quality", [0, 0.7, -1, 100.1, np.nan, np.inf])
def test_graph_makes_no_file_of_a_quality_that_is_none(quality, coder, x):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the quality is not within 1\.\.100"):
        coder.graph.compress_pixels(x, quality)


def test_tiles_have_the_quality_of_their_picture(coder, picture):
    x = picture(150, 200)[0].astype(np.uint8)
    for quality in (5, 90):
        whole, cut = (coder.compress_pixels(x, tile=side, quality=quality) for side in (0, 128))
        assert bitstream.parse(cut)[0].tile and abs(len(cut) / len(whole) - 1) < 0.2
        assert abs(psnr(x, coder.decompress(cut)) - psnr(x, coder.decompress(whole))) < 1
        np.testing.assert_array_equal(coder.graph.decompress_pixels(cut), coder.decompress(cut))


def test_batch_may_mix_the_qualities_of_files(files, coder):
    for one, data in zip(coder.decompress_batch([files[1], files[100]]), (files[1], files[100])):
        assert np.abs(one.astype(int) - coder.decompress(data)).max() <= 1


def test_forged_quality_is_refused_by_both_doors(files, coder):
    header, records = bitstream.parse(files[50])
    start = bitstream.prefix(header.arithmetic, header.model_code, 51, header.weights_id)
    forged = bitstream.build(start, header.width, header.height, records)
    with pytest.raises(DataError, match="put together from others"):
        coder.decompress(forged)
    with pytest.raises(tf.errors.InvalidArgumentError, match="put together from others"):
        coder.graph.decompress_pixels(forged)


def test_models_of_one_rate_and_of_many_refuse_each_others_files(files, coder, codecs, x):
    plain = codecs[SCRIPT]
    header, records = bitstream.parse(plain.compress(x))
    start = bitstream.prefix(header.arithmetic, header.model_code, 0, bytes.fromhex(coder.weights_id))
    with pytest.raises(DataError, match="another kind of quality"):
        coder.decompress(bitstream.build(start, header.width, header.height, records))
    with pytest.raises(UsageError, match="one rate"):
        plain.compress(x, quality=50)
    for wrong in (0, 0.9, 100.1, float("nan")):
        with pytest.raises(UsageError, match=r"not within 1\.\.100"):
            coder.compress(x, quality=wrong)


def test_estimate_is_that_of_the_file(files, coder, x):
    """Of a model that knows nothing it is higher: a symbol that no table holds costs a file a few bytes, whatever its
    likelihood."""
    for quality, data in files.items():
        bpp, decibel = coder.probe(x, quality)
        overhead = 8 * 60 / (x.shape[0] * x.shape[1])
        assert bits_per_pixel(len(data), *x.shape[:2]) < 1.02 * bpp + overhead
        assert decibel == pytest.approx(psnr(x, coder.decompress(data)), abs=0.05)


@pytest.mark.parametrize("wish", ["bpp", "psnr"])
def test_wish_is_met(wish, coder, x):
    low, high = (coder.probe(x, quality)[wish == "psnr"] for quality in (1, 80))
    target = low + 0.4 * (high - low)
    choice = rate_control.choose(coder, x, wish, target)
    assert choice.value == pytest.approx(coder.probe(x, choice.quality)[wish == "psnr"])
    assert choice.met and choice.value == pytest.approx(target, rel=0.05)


# The command line -----------------------------------------------------------------------------------------------------

def run(*arguments) -> int:
    return cli.run(SCRIPT, [str(word) for word in arguments])


@pytest.fixture
def source(x, tmp_path) -> Path:
    path = tmp_path / "x.png"
    Image.fromarray(x).save(path)
    return path


def test_command_line_takes_a_quality_and_tells_it(source, saved_many, files, tmp_path, capsys):
    assert run("compress", source, tmp_path / "a.tfci", "--quality", 80, "--model_path", saved_many) == 0
    assert (tmp_path / "a.tfci").read_bytes() == files[80]
    assert run("info", tmp_path / "a.tfci") == 0
    shown = capsys.readouterr().out
    assert "tiny-variable" in shown and "80" in shown.split("quality")[1].splitlines()[0]
    assert run("decompress", tmp_path / "a.tfci", tmp_path / "b.png", "--model_path", saved_many) == 0


def test_wish_that_cannot_be_met_gives_the_nearest_and_says_so(source, saved_many, files, tmp_path, capsys):
    assert run("compress", source, tmp_path / "a.tfci", "--bpp", 0.0001, "--model_path", saved_many) == 0
    assert (tmp_path / "a.tfci").read_bytes() == files[1]
    told = capsys.readouterr().err
    assert "0.0001 bits per pixel can't be reached" in told and "quality 1" in told


def test_model_of_one_rate_takes_no_wish(source, saved, tmp_path, capsys):
    for wish in ("--quality", "--bpp", "--psnr"):
        assert run_code("compress", source, tmp_path / "a.tfci", wish, 30, "--model_path", saved[SCRIPT]) == 2
        assert "one rate" in capsys.readouterr().err
    assert not (tmp_path / "a.tfci").exists()


def test_model_of_one_rate_tells_nothing_of_a_quality(x, saved):
    with pytest.raises(UsageError, match="one rate"):
        lic.load(saved[SCRIPT]).probe(x, 30)


def test_pixels_are_gone_when_their_file_is_written(source, saved_many, tmp_path, monkeypatch):
    """Else a large collection would wait in memory for its slowest picture."""
    alive, read, write = [], images.read, lic_files.write_atomically

    def reading(path):
        picture = read(path)
        alive.append(weakref.ref(picture.pixels))
        return picture

    def writing(*arguments):
        assert [ref() for ref in alive] == [None]
        write(*arguments)

    monkeypatch.setattr(images, "read", reading)
    monkeypatch.setattr(lic_files, "write_atomically", writing)
    assert run("compress", source, tmp_path / "a.tfci", "--model_path", saved_many) == 0


def run_code(*arguments) -> int:
    try:
        return run(*arguments)
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize("flags", [
    ("--quality", "0"), ("--quality", "101"), ("--quality", "nan"), ("--bpp", "0"), ("--bpp", "-1"), ("--bpp", "inf"),
    ("--psnr", "high"), ("--quality", "3", "--bpp", "1")], ids=" ".join)
def test_wrong_wish_is_one_line_of_misuse(flags, capsys):
    assert run_code("compress", "x.png", *flags) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# The exported model ---------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_saved_model_takes_a_quality_and_has_a_default(saved_many, files, x, tmp_path):
    assert run("export", tmp_path / "served", "--model_path", saved_many) == 0
    signatures = tf.saved_model.load(str(tmp_path / "served")).signatures
    png = io.BytesIO()
    Image.fromarray(x).save(png, "PNG")
    png = png.getvalue()
    made = signatures["compress_at"](image_bytes=tf.constant([png, png]), quality=tf.constant([1.0, 80.0]))
    assert list(made["file_bytes"].numpy()) == [files[1], files[80]]
    for pictures, qualities in ((1, 2), (2, 1), (0, 1), (1, 0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{qualities} qualities for {pictures} pictures"):
            signatures["compress_at"](image_bytes=tf.constant([png] * pictures, tf.string),
                                      quality=tf.fill([qualities], 50.0))
    assert list(signatures["compress"](image_bytes=tf.constant([png]))["file_bytes"].numpy()) == [files[50]]
    assert lic.load(str(tmp_path / "served")).compress(x, quality=20.5) == files[20.5]
