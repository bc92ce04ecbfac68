"""Range-coding tables: well formed, as probable as the densities say, with an escape for the rest."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import coders, tables


def rows_of(made):
    """(first symbol, probabilities of the symbols, of the escape) of each density."""
    ends = np.flatnonzero(made.cdf == 2 ** tables.PRECISION) + 1
    assert len(ends) == len(made.offset) == len(made.escape) and ends[-1] == len(made.cdf)
    for row, first, escape in zip(np.split(made.cdf, ends[:-1]), made.offset, made.escape):
        counts = np.diff(row[1:])
        assert row[0] == tables.PRECISION > 0, "a negative precision lets a forged string never end"
        assert row[1] == 0 and row[-1] == 2 ** tables.PRECISION and (counts > 0).all()
        assert escape == first + len(counts) - 1, "the escape is the last symbol"
        yield int(first), counts[:-1] / 2 ** tables.PRECISION, counts[-1] / 2 ** tables.PRECISION


SCALES = np.geomspace(0.11, 256, 64)


def test_tables_are_32_bit_integers():
    made = coders.gaussian_tables()
    assert made.cdf.dtype == made.offset.dtype == made.escape.dtype == np.int32


def test_escape_is_the_symbol_behind_the_last_of_each_row():
    rows = ([16, 0, 1, 2 ** 16], [16, 0, 2 ** 16], [16, 0, 16, 17, 40000, 2 ** 16])
    made = tables.Tables(np.concatenate(rows).astype(np.int32), np.array([0, 7, -5], np.int32))
    assert made.escape.tolist() == [1, 7, -2] and [len(p) for _, p, _ in rows_of(made)] == [1, 0, 3]


def test_gaussian_rows_reach_five_standard_deviations_and_one_symbol():
    """So a photograph has about no escape, a byte and more each, and the rows stay short."""
    made = coders.gaussian_tables()
    np.testing.assert_array_equal(made.escape, -made.offset + 1)
    np.testing.assert_array_equal(made.escape - 1, np.ceil(5 * SCALES) + 1)
    assert len(made.cdf) < 2 ** 15, "128 KiB"


def test_gaussian_of_each_scale_has_a_symmetric_row_of_its_probabilities():
    rows = list(rows_of(coders.gaussian_tables()))
    assert len(rows) == 64
    for scale, (first, p, escape) in zip(SCALES, rows):
        symbols = np.arange(first, first + len(p))
        assert first == -symbols[-1], "as many symbols below zero as above"
        prior = coders.tfc.NoisyNormal(loc=tf.constant(0, tf.float64), scale=tf.constant(scale, tf.float64))
        # Counts are whole, and none may be 0: what the many unlikely symbols take is missed by the likely ones.
        np.testing.assert_allclose(p, prior.prob(tf.constant(symbols, tf.float64)), rtol=0.02, atol=2.0 ** -15)
        assert escape < 2 * tables.TAIL_MASS


def test_counts_make_a_row_what_was_seen_the_more_the_more_it_was():
    scales, share = np.array([0.5, 3.0]), np.array([0.9, 0.06, 0.03, 0.01])
    off = []
    for seen in (0, 100, 10 ** 7):
        counts = np.zeros((2, 40), np.int64)
        counts[0, :4] = seen * share
        (first, p, _), other = rows_of(tables.observed(scales, counts))
        np.testing.assert_allclose(p, p[::-1], rtol=0, atol=2.0 ** -15, err_msg="either sign alike")
        off.append(np.abs(p[-first:-first + 4] - share / [1, 2, 2, 2]).max())
        np.testing.assert_array_equal(other[1], list(rows_of(tables.gaussian(scales)))[1][1], "nothing was seen of it")
    assert off[0] > off[1] > 100 * off[2] and off[2] < 2e-4


def test_magnitudes_that_a_row_does_not_hold_make_its_escape_likelier():
    counts = np.zeros((1, 100), np.int64)
    counts[0, [0, 90]] = 900_000, 100_000
    (_, p, escape), = rows_of(tables.observed(np.array([0.5]), counts))
    assert abs(escape - 0.1) < 1e-3 and abs(p[len(p) // 2] - 0.9) < 1e-3


def comes_back(em, symbols, *index):
    """Whether integers are decoded as they were encoded, with the values of those that were escaped; how many."""
    strings, escaped = em.encode(tf.cast(symbols, tf.int32), *index)
    read = em.decode(strings, *(index or [tuple(symbols.shape[1:3])]))
    np.testing.assert_array_equal(read.escaped, escaped)
    np.testing.assert_array_equal(tf.where(escaped, tf.cast(symbols, tf.int32), read.symbols), symbols)
    assert np.all(read.sound)
    return np.count_nonzero(escaped)


def divergence(p, q) -> float:
    return float(np.sum(p * np.log2(np.maximum(p, 1e-300) / q)))


def test_whole_counts_cost_next_to_nothing():
    """Bits a symbol over the entropy: half a count for each symbol of a row at most, 2^-17, as each wants one at least.

    At a scale of 256, whose row has 2,563 symbols, 0.016 of 10 bits; at 25 and below less than 0.001.
    """
    for scale, (first, q, _) in zip(SCALES, rows_of(coders.gaussian_tables())):
        symbols = tf.range(first, first + len(q), dtype=tf.float64)
        prior = coders.tfc.NoisyNormal(loc=tf.constant(0, tf.float64), scale=tf.constant(scale, tf.float64))
        cost = divergence(prior.prob(symbols).numpy(), q)
        assert cost < 2.0 ** -17 * len(q) + 1e-4 and cost < (0.001 if scale < 25 else 0.017)


@pytest.fixture(params=[0, 1])
def prior(request):
    """Learned densities of four channels; the second ones lie to one side and are of different widths."""
    tf.keras.utils.set_random_seed(request.param)
    prior = coders.tfc.NoisyDeepFactorized(batch_shape=(4,), init_scale=(10, 2)[request.param])
    prior.prob(tf.zeros((1, 4)))
    if request.param:
        for v in prior.trainable_variables:
            v.assign_add(tf.random.normal(v.shape, seed=1))
    return prior


def test_factorised_rows_hold_all_but_the_tails_of_their_densities(prior):
    rows = list(rows_of(tables.factorised(prior)))
    assert len(rows) == 4
    for channel, (first, q, escape) in enumerate(rows):
        symbols = np.arange(first, first + len(q), dtype=np.float32)
        p = prior.prob(tf.constant(np.repeat(symbols[:, None], 4, 1))).numpy()[:, channel].astype(float)
        assert 1 - p.sum() < 2 * tables.TAIL_MASS and escape < 2 * tables.TAIL_MASS
        assert max(p[1:].sum(), p[:-1].sum()) < 1 - tables.TAIL_MASS / 4, "no longer than needed"
        assert divergence(p, q) < 0.01


def test_values_outside_of_the_rows_are_escaped_and_come_back(prior):
    made = tables.factorised(prior)
    z = np.random.default_rng(0).integers(-3000, 3000, (1, 2, 3, 4))
    outside = np.count_nonzero((z < made.offset) | (z >= made.escape))
    assert comes_back(coders.FactorisedModel(prior, made), tf.constant(z)) == outside > 12
    made, index = coders.gaussian_tables(), np.random.default_rng(1).integers(0, 64, z.shape)
    outside = np.count_nonzero((z < made.offset[index]) | (z >= made.escape[index]))
    assert comes_back(coders.GaussianModel(made), tf.constant(z), tf.constant(index, tf.float32)) == outside > 12


def test_just_the_symbols_outside_of_a_row_are_escaped(prior):
    """The first and the last of each row are coded as they are, and their neighbours are not."""
    made = tables.factorised(prior)
    z = tf.constant(np.stack([made.offset, made.escape - 1, made.offset - 1, made.escape])[None, :, None])
    _, escaped = coders.FactorisedModel(prior, made).encode(z)
    assert escaped.numpy()[0, :, 0].tolist() == [[False] * 4] * 2 + [[True] * 4] * 2
    made, index = coders.gaussian_tables(), tf.reshape(tf.range(64.0), (1, 1, 1, 64))
    edges = np.stack([made.offset, made.escape - 1, made.offset - 1, made.escape])[None, :, None]
    _, escaped = coders.GaussianModel(made).encode(tf.constant(edges), tf.repeat(index, 4, 1))
    assert escaped.numpy()[0, :, 0].tolist() == [[False] * 64] * 2 + [[True] * 64] * 2


def test_prior_that_is_very_wide_gets_long_rows_and_still_codes():
    """A density over some thousand symbols, as wide as hyper latents that were never held back."""
    tf.keras.utils.set_random_seed(0)
    wide = coders.tfc.NoisyDeepFactorized(batch_shape=(3,), init_scale=300)
    wide.prob(tf.zeros((1, 3)))
    made = tables.factorised(wide)
    rows = list(rows_of(made))
    assert len(rows) == 3 and all(len(p) > 500 for _, p, _ in rows)
    z = tf.constant(np.random.default_rng(0).normal(0, 300, (2, 4, 5, 3)).round(), tf.float32)
    assert comes_back(coders.FactorisedModel(wide, made), z) < 12


def test_prior_wider_than_any_table_still_codes_by_its_escapes():
    tf.keras.utils.set_random_seed(0)
    prior = coders.tfc.NoisyDeepFactorized(batch_shape=(2,), init_scale=1e6)
    prior.prob(tf.zeros((1, 2)))
    z = tf.constant(np.random.default_rng(0).normal(0, 1e5, (1, 4, 5, 2)).round(), tf.float32)
    assert comes_back(coders.FactorisedModel(prior, tables.factorised(prior)), z) > 30


@pytest.mark.parametrize("indices", [(0, 8), (8, 24), (24, 48), (48, 64), (0, 64)])
def test_strings_are_as_long_as_the_shannon_information_says(indices):
    """Within 0.5 % and 2 bytes a string, of Gaussian data of the scales that the tables are for."""
    rng = np.random.default_rng(7)
    index = rng.integers(*indices, (4, 24, 24, 32))
    y = tf.constant(rng.normal(0, SCALES[index]), tf.float32)
    model, index = coders.GaussianModel(coders.gaussian_tables()), tf.constant(index, tf.float32)
    _, bits = model(y, index, training=False)
    for string, shannon in zip(model.compress(y, index).numpy(), bits.numpy() / 8):
        assert abs(len(string) - shannon) < 0.005 * shannon + 2


def test_strings_of_a_learned_density_are_as_long_as_the_shannon_information_says(prior):
    rng = np.random.default_rng(3)
    draws = []
    for first, p, _ in rows_of(tables.factorised(prior)):
        draws.append(rng.choice(np.arange(first, first + len(p)), 4 * 32 * 32, p=p / p.sum()))
    z = tf.constant(np.stack(draws, -1).reshape(4, 32, 32, 4), tf.float32)
    _, bits = coders.FactorisedModel(prior)(z, training=False)
    for string, shannon in zip(
            coders.FactorisedModel(prior, tables.factorised(prior)).compress(z).numpy(), bits.numpy() / 8):
        assert abs(len(string) - shannon) < 0.005 * shannon + 2
