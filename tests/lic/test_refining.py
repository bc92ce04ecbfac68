"""A latent that is refined for its picture: files that cost less, and that any decoder reads."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import config
from lic import export, loading, metrics, refining, slope
from lic.coders import GaussianModel, scale_of_index
from lic.errors import UsageError
from lic.model import pad
from tests.scripts import ELIC_ALONE


@pytest.fixture(scope="module")
def codec(saved_many):
    return loading.load(str(saved_many), stored=False)


@pytest.fixture(scope="module")
def x(picture):
    return picture(100, 150, seed=4)[0].astype(np.uint8)


def cost(codec, x, data: bytes, quality: float) -> float:
    """What training minimises: bits a pixel + lambda * MSE, of a file."""
    ladder = codec._preset.lambdas
    lmbda = ladder[0] * (ladder[-1] / ladder[0]) ** ((quality - 1) / 99)
    return metrics.bits_per_pixel(len(data), *x.shape[:2]) + lmbda * metrics.mse(x, codec.decompress(data))


@pytest.mark.parametrize("script", ELIC_ALONE)
def test_refined_latent_costs_less(many_rates, x, script):
    model = many_rates(script)
    going, quality = slope.traced(model), np.array([70.0], np.float32)
    first = model.analyse(pad(tf.cast(x[None], tf.float32)), quality)
    costs = [float(going(x[None], y, quality, refining._DECIDED)[1][0])
             for y in (first, *(refining.refined(going, first, x[None], quality, steps) for steps in (3, 20)))]
    assert costs[2] < costs[1] < costs[0]


def test_refined_file_is_worth_its_steps(codec, x):
    costs = [cost(codec, x, codec.compress(x, quality=70, effort=steps), 70) for steps in (0, 20)]
    assert costs[1] < costs[0]


def test_refined_file_is_no_worse_where_steps_lead_astray(codec, x, monkeypatch):
    monkeypatch.setattr(refining, "_STEPS", (50.0, 50.0))
    assert codec.compress(x, quality=70, effort=2) == codec.compress(x, quality=70)


def test_same_picture_gives_the_same_file_again_and_another_size_too(codec, x):
    data = codec.compress(x, quality=50, effort=3)
    assert codec.compress(x, quality=50, effort=3) == data
    codec.compress(x[:64, :70], quality=50, effort=3)   # other sizes share a trace of their own
    assert codec.compress(x[:80], quality=50, effort=3) == codec.compress(x[:80], quality=50, effort=3)


def test_refined_tiles_decode_as_one_picture(codec, picture):
    wide = picture(130, 400, seed=5)[0].astype(np.uint8)
    plain, refined = (codec.compress(wide, quality=60, tile=128, verify=True, effort=steps) for steps in (0, 20))
    assert cost(codec, wide, refined, 60) < cost(codec, wide, plain, 60)


def test_expected_bits_at_whole_numbers_are_those_that_are_counted():
    index = tf.constant(np.random.default_rng(0).uniform(0, 63, (1, 8, 8, 16)), tf.float32)
    scale = scale_of_index(tf.round(index))
    symbols = tf.round(tf.random.stateless_normal(index.shape, (1, 2)) * scale * 1.5)
    counted = GaussianModel()(symbols, tf.round(index), training=False)[1]
    assert float(tf.reduce_sum(slope._bits(symbols, scale))) == pytest.approx(float(counted[0]), rel=1e-3)


@pytest.mark.slow
def test_exported_model_refines_as_the_one_that_it_was(codec, x, tmp_path):
    export.save(codec, str(tmp_path / "exported"))
    exported = loading.load(str(tmp_path / "exported"))
    assert exported.compress(x, quality=40, effort=2) == codec.compress(x, quality=40, effort=2)


def test_each_step_shows_in_the_progress(codec, x):
    seen = []

    def progress(steps):
        seen.append(len(steps))
        return steps

    codec.compress(x, quality=40, effort=5, progress=progress)
    assert seen == [1, 5]


def test_effort_that_can_not_be_made_is_refused(codec, x):
    for effort in (-1, config.MAX_EFFORT + 1, 1.5, "3"):
        with pytest.raises(UsageError, match="is not a whole number within 0"):
            codec.compress(x, effort=effort)
    of_one_rate = {**codec.about, "preset": "tiny"}
    for about, said in ((of_one_rate, "one rate and takes no effort"), (codec.about, "by itself takes none")):
        with pytest.raises(UsageError, match=said):
            loading.Codec(None, about).compress(x, effort=1)


def test_command_refines_and_tells_what_it_can_not(saved_many, codec, x, script, tmp_path):
    Image.fromarray(x).save(tmp_path / "x.png")
    done = script("hypmqw2022", "compress", "x.png", "--effort", 3, "--quality", 50, "--model_path", saved_many,
                  cwd=tmp_path)
    assert done.code == 0 and not done.err
    assert (tmp_path / "x.png.tfci").read_bytes() == codec.compress(x, quality=50, effort=3)
    for steps, said in (("-1", "'-1' is not within 0..10000"), ("much", "'much'")):
        done = script("hypmqw2022", "compress", "x.png", "no.tfci", f"--effort={steps}", cwd=tmp_path)
        assert done.code == 2 and len(done.lines) == 1 and said in done.err
        assert not (tmp_path / "no.tfci").exists()
