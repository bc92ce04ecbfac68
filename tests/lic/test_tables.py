"""Range-coding tables: well formed, as probable as the densities say, with an escape for the rest."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import coders, tables


def rows_of(made):
    """(first symbol, probabilities of the symbols, of the escape) of each density."""
    starts = np.flatnonzero(made.cdf == -tables.PRECISION)     # each row begins with minus its precision
    assert len(starts) == len(made.offset) and starts[0] == 0
    for row, first in zip(np.split(made.cdf, starts[1:]), made.offset):
        counts = np.diff(row[1:])
        assert row[1] == 0 and row[-1] == 2 ** tables.PRECISION and (counts > 0).all()
        yield int(first), counts[:-1] / 2 ** tables.PRECISION, counts[-1] / 2 ** tables.PRECISION


SCALES = np.geomspace(0.11, 256, 64)


def test_tables_are_32_bit_integers():
    made = coders.gaussian_tables()
    assert made.cdf.dtype == made.offset.dtype == np.int32


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


def divergence(p, q) -> float:
    return float(np.sum(p * np.log2(np.maximum(p, 1e-300) / q)))


def test_whole_counts_cost_next_to_nothing():
    """Bits a symbol over the entropy; 0.005 at a scale of 256, whose 2,049 symbols want 2^-16 each at least."""
    for scale, (first, q, _) in zip(SCALES, rows_of(coders.gaussian_tables())):
        symbols = tf.range(first, first + len(q), dtype=tf.float64)
        prior = coders.tfc.NoisyNormal(loc=tf.constant(0, tf.float64), scale=tf.constant(scale, tf.float64))
        assert divergence(prior.prob(symbols).numpy(), q) < 0.006


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
    em = coders.FactorisedModel(prior, tables.factorised(prior))
    z = tf.constant(np.random.default_rng(0).integers(-3000, 3000, (1, 2, 3, 4)), tf.float32)
    np.testing.assert_array_equal(em.decompress(em.compress(z), (2, 3)), z)
    model = coders.GaussianModel(coders.gaussian_tables())
    index = tf.constant(np.random.default_rng(1).integers(0, 64, z.shape), tf.float32)
    np.testing.assert_array_equal(model.decompress(model.compress(z, index), index), z)


def test_prior_that_is_very_wide_gets_long_rows_and_still_codes():
    """A density over some thousand symbols, as wide as hyper latents that were never held back."""
    tf.keras.utils.set_random_seed(0)
    wide = coders.tfc.NoisyDeepFactorized(batch_shape=(3,), init_scale=300)
    wide.prob(tf.zeros((1, 3)))
    made = tables.factorised(wide)
    rows = list(rows_of(made))
    assert len(rows) == 3 and all(len(p) > 500 for _, p, _ in rows)
    z = tf.constant(np.random.default_rng(0).normal(0, 300, (2, 4, 5, 3)).round(), tf.float32)
    em = coders.FactorisedModel(wide, made)
    np.testing.assert_array_equal(em.decompress(em.compress(z), (4, 5)), z)


def test_prior_wider_than_any_table_still_codes_by_its_escapes():
    tf.keras.utils.set_random_seed(0)
    prior = coders.tfc.NoisyDeepFactorized(batch_shape=(2,), init_scale=1e6)
    prior.prob(tf.zeros((1, 2)))
    z = tf.constant(np.random.default_rng(0).normal(0, 1e5, (1, 4, 5, 2)).round(), tf.float32)
    em = coders.FactorisedModel(prior, tables.factorised(prior))
    np.testing.assert_array_equal(em.decompress(em.compress(z), (4, 5)), z)


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
