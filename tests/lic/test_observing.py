"""Tables that are made of what a model rounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from lic import coders, observing
from tests.scripts import SCRIPTS, WITHOUT_TCM


def bytes_of(model, x: np.ndarray) -> int:
    """Of all strings of y."""
    encoded = model.encode(tf.constant(x))
    return sum(len(string) for strings in encoded.strings[1:] for string in strings.numpy())


@pytest.mark.parametrize("script", WITHOUT_TCM)
def test_tables_of_what_was_seen_make_files_smaller_and_these_come_back(script, lively, picture):
    model, x = lively(script), picture(128, 192, seed=9)
    model.freeze()
    model.round_kernels()
    before = bytes_of(model, x)
    model.freeze(observing.tables_of(model, [picture(128, 192, 2, seed=n) for n in range(6)]))
    assert bytes_of(model, x) < 0.99 * before
    encoded = model.encode(tf.constant(x))
    decoded = model.decode_latent(encoded.strings, encoded.escapes, 128, 192)
    for symbols, again in zip(encoded.symbols, decoded.symbols):
        np.testing.assert_array_equal(symbols, again)


def test_nothing_seen_leaves_the_gaussians(lively):
    made, gaussian = observing.tables_of(lively("hypmqw2022"), []), coders.gaussian_tables()
    for field in dataclasses.fields(made):
        np.testing.assert_array_equal(getattr(made, field.name), getattr(gaussian, field.name))


def test_each_picture_has_a_quality_of_its_own_where_there_are_many_rates(many_rates, picture, monkeypatch):
    model, seen = many_rates("hypmqw2022"), []
    analyse = model.analyse
    monkeypatch.setattr(model, "analyse", lambda x, quality: seen.extend(quality.numpy()) or analyse(x, quality))
    observing.tables_of(model, [picture(64, 64, 4)] * 25)
    assert len(seen) == 100 and np.abs(np.sort(seen) - np.linspace(1, 100, 100)).max() < 2, "all over the scale"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_symbol_of_y_is_seen_once(script, build, picture, monkeypatch):
    model, kept = build(script), []
    monkeypatch.setattr(observing.tables, "observed", lambda scales, counts: kept.append(counts))
    observing.tables_of(model, [picture(64, 128, 2), picture(64, 64)])
    assert kept[0].sum() == (2 * 4 * 8 + 4 * 4) * model.preset.latent_depth
