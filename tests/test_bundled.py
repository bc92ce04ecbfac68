"""The bundled models on real photographs: honest rates, better than JPEG, found by their files."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import config
import lic
from lic import bitstream, images, loading, metrics, resources, weights
from lic.coders import GaussianModel, Teller, gaussian_tables
from lic.stored_graph import StoredGraph
from tests.scripts import SCRIPTS

PICTURES = ("kodim15", "kodim23")


@pytest.fixture(scope="module")
def photographs():
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "res", "eval")
    return {name: images.read(os.path.join(folder, f"{name}.png")).pixels for name in PICTURES}


@pytest.fixture(scope="module", params=SCRIPTS)
def bundled(request, photographs):
    """(script, model, {name: (file, reconstruction)}) of a bundled model, coded as users do: by its stored graphs."""
    script = request.param
    model, _ = weights.load(resources.bundled(script))
    model.round_kernels()   # as whoever codes with it does
    codec, coded = lic.load(script), {}
    for name, pixels in photographs.items():
        data = codec.compress(pixels)
        coded[name] = data, codec.decompress(data)
    return script, model, coded


def jpeg_psnr_at(size: int, pixels: np.ndarray) -> float:
    """PSNR of the best JPEG (4:2:0, optimised) that is no larger; of the worst quality where none is."""
    best = 0.0
    for quality in range(1, 60):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True, subsampling=2)
        if quality > 1 and len(buffer.getvalue()) > size:
            break
        best = metrics.psnr(pixels, np.asarray(Image.open(buffer)))
    return best


def test_bundled_model_beats_a_jpeg_of_the_same_size(bundled, photographs):
    _, _, coded = bundled
    ours = np.mean([metrics.psnr(photographs[n], restored) for n, (_, restored) in coded.items()])
    jpeg = np.mean([jpeg_psnr_at(len(data), photographs[n]) for n, (data, _) in coded.items()])
    assert ours > jpeg


def test_file_is_as_small_as_the_model_says(bundled, photographs):
    """At most half a percent and two bytes a string over the estimate, and its header of fixed size."""
    _, model, coded = bundled
    for name, (data, _) in coded.items():
        estimate = model.estimate(tf.constant(photographs[name][None], tf.float32))
        expected = float(estimate.bits_y[0] + estimate.bits_z[0]) / 8
        _, (record,) = bitstream.parse(data)
        strings = record.strings
        assert sum(map(len, strings)) <= 1.005 * expected + 2 * len(strings)
        lengths = sum(1 if len(string) < 128 else 2 if len(string) < 128 ** 2 else 3 for string in strings[:-1])
        escapes = sum(1 if -64 <= value < 64 else 2 for value in record.escapes)
        assert len(data) - sum(map(len, strings)) <= 32 + lengths + 1 + escapes + 2 * bitstream.CRC_BYTES
        assert len(record.escapes) < 20, "of tens of thousands of symbols"


def test_tables_are_of_what_the_model_rounds(bundled, photographs):
    """With the Gaussians that it was trained with, files would be half a percent larger at least."""
    _, model, _ = bundled
    x = tf.constant(photographs[PICTURES[1]][None], tf.float32)
    y = model.analyse(x)
    gaussian = Teller(GaussianModel(gaussian_tables()), model.context.parts(y), model.arithmetic)
    own, other = (float(estimate.bits_y[0] + estimate.bits_z[0]) for estimate in (
        model.estimate(x), model.estimate_latent(y, gaussian, tf.shape(x)[1:3])))
    assert other > 1.005 * own


def test_file_decodes_to_what_the_model_reconstructs(bundled, photographs):
    _, model, coded = bundled
    name = PICTURES[0]
    estimate = model.estimate(tf.constant(photographs[name][None], tf.float32))
    whole = np.clip(np.round(estimate.x_hat[0].numpy()), 0, 255)
    assert np.abs(whole - coded[name][1]).max() <= 1   # one grey level: two forms of float32 synthesis
    assert np.mean(whole != coded[name][1]) < 1e-3


@pytest.mark.slow
def test_stored_graphs_are_those_that_the_code_would_trace(bundled, photographs):
    """Else they are stale: `python -m tools.store_graphs`."""
    script, model, _ = bundled
    stored = lic.load(script)
    traced = loading.from_model(model, script, bytes.fromhex(stored.weights_id), config.Runtime())
    assert isinstance(stored.graph, StoredGraph)
    for pixels in photographs.values():
        data = stored.compress(pixels)
        assert traced.compress(pixels) == data
        np.testing.assert_array_equal(stored.decompress(data), traced.decompress(data))


def test_bundled_models_know_every_rate(bundled, photographs):
    script, _, _ = bundled
    codec, pixels = lic.load(script), photographs[PICTURES[0]]
    coarse, fine = (codec.compress(pixels, quality=quality) for quality in config.QUALITIES)
    assert 6 * len(coarse) < len(fine)
    assert metrics.psnr(pixels, codec.decompress(coarse)) + 6 < metrics.psnr(pixels, codec.decompress(fine))


def test_file_leads_to_its_bundled_model(bundled):
    script, _, coded = bundled
    header, _ = bitstream.parse(coded[PICTURES[0]][0])
    assert resources.find(header.weights_id) == resources.bundled(script)
    assert config.by_code(header.model_code) == (script, config.PRESETS[script]["nano"])


def test_bundled_models_are_small(bundled):
    script, _, _ = bundled
    folder = resources.bundled(script)
    assert sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)) <= 8_000_000
