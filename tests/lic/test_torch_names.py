"""Names, layouts and sizes: every array of a PyTorch model finds its variable, and what doesn't fit is said."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

import config
from lic import registry, torch_names, weights
from lic.errors import DataError
from tests import golden
from tests.golden import weights_of
from tests.lic import torch_export

BUFFERS = ("gaussian_conditional._quantized_cdf", "gaussian_conditional.scale_bound", "entropy_bottleneck._offset",
           "entropy_bottleneck.target", "entropy_bottleneck.likelihood_lower_bound.bound",
           "g_a.0.gdn.beta_reparam.lower_bound.bound", "g_a.1.gamma_reparam.pedestal",
           "g_a.layers.0.blocks.1.attn.relative_position_index", "g_a.layers.0.blocks.1.attn_mask",
           "latent_codec.y.latent_codec.y0.context_prediction.mask",
           "latent_codec.y.latent_codec.y0.y.gaussian_conditional._cdf_length")


@cache
def reduced(name: str):
    """A model of the right preset, shared between tests: each loads its own weights."""
    return registry.build(*torch_names.preset_of(weights_of(name)))


@pytest.fixture
def small():
    return reduced("conv_hyperprior_small"), weights_of("conv_hyperprior_small")


def snapshot(model) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in weights.named_variables(model).items()}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_array_equal(array, theirs[path], path)


def assert_loads_and_comes_back(model, given):
    """Each array in its place and back again, each variable written."""
    for variable in weights.named_variables(model).values():
        variable.assign(np.full(variable.shape, np.nan))
    torch_names.load(model, given)
    assert all(np.isfinite(v.numpy()).all() for v in weights.named_variables(model).values())
    back = torch_export.to_state_dict(model)
    assert sorted(back) == sorted(given)
    for key, array in given.items():
        if key.endswith("quantiles"):
            np.testing.assert_array_equal(back[key][:, :, 1], array[:, :, 1])
        elif key.endswith(("_bias0", "biases.0")):  # the median was added and subtracted
            np.testing.assert_allclose(back[key], array, rtol=0, atol=1e-7)
        else:
            np.testing.assert_array_equal(back[key], array, key)


@pytest.mark.parametrize("name", golden.REDUCED)
def test_state_dict_goes_in_and_comes_back(name):
    assert_loads_and_comes_back(reduced(name), weights_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.FULL)
def test_state_dict_of_full_size_goes_in_and_comes_back(name):
    given = weights_of(name)
    assert_loads_and_comes_back(registry.build(*torch_names.preset_of(given)), given)


@pytest.mark.parametrize("name", golden.FULL)
def test_sizes_are_recognised_as_those_of_a_named_preset(name):
    shapes = {key: np.empty(shape, bool) for key, shape, *_ in golden.recipes()[name]["weights"]}
    script, preset = torch_names.preset_of(shapes)
    assert preset is config.PRESETS[script][golden.FULL[name]]


@pytest.mark.parametrize("name", golden.REDUCED)
def test_other_sizes_are_recognised_as_a_custom_preset(name):
    script, preset = torch_names.preset_of(weights_of(name))
    assert preset.name == "custom" and config.by_code(preset.code) is None
    assert preset.code // 16 == config.default_preset(script).code // 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medium", "large"])
def test_export_of_a_named_preset_is_recognised(name):
    model = registry.build("lsk2023", config.PRESETS["lsk2023"][name])
    shapes = {key: np.empty(a.shape, bool) for key, a in torch_export.to_state_dict(model).items()}
    assert torch_names.preset_of(shapes) == ("lsk2023", model.preset)


def test_mapping_says_where_each_array_goes():
    entries = torch_names.mapping(reduced("tcm_small"))
    expected = {
        "g_a.0.gdn.gamma": ("g_a/layers/0/gdn/gamma", "matrix"),
        "g_s.0.conv.weight": ("g_s/layers/0/conv/kernel", "kernel"),
        "g_s.9.0.weight": ("g_s/layers/9/conv/kernel", "kernel"),
        "h_scale_s.3.0.bias": ("h_s/scale/layers/3/conv/bias", "same"),
        "g_a.1.trans_block.msa.relative_position_params": ("g_a/layers/1/trans_block/attn/bias_table", "position bias"),
        "atten_scale.3.0.non_local_block.block_2.ln1.weight": (
            "context/parameters/3/atten_scale/non_local_block/blocks/layers/1/norm1/gamma", "same"),
        "atten_mean.0.0.conv_b.2.conv.4.weight": (
            "context/parameters/0/atten_mean/conv_b/layers/2/conv3/kernel", "kernel"),
        "lrp_transforms.4.2.bias": ("context/refine/4/layers/1/bias", "same"),
        "entropy_bottleneck.quantiles": ("prior/median", "median"),
    }
    assert {key: (entries[key].path, entries[key].layout.name) for key in expected} == expected
    assert sorted(e.path for e in entries.values()) == sorted(weights.named_variables(reduced("tcm_small")))


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.module.", "_orig_mod."])
def test_prefixes_and_buffers_are_skipped(small, prefix):
    model, given = small
    torch_names.load(model, given)
    wanted = snapshot(model)
    wrapped = {prefix + key: a for key, a in {**given, **{key: np.zeros(1) for key in BUFFERS}}.items()}
    torch_names.load(model, {**wrapped, "criterion.scale": np.ones(1)})
    assert_same(snapshot(model), wanted)
    assert torch_names.preset_of(wrapped) == torch_names.preset_of(given)


@pytest.mark.parametrize("name", ["tcm_small", "conv_hyperprior_small", "elic2022_official_small"])
def test_both_spellings_of_the_prior_mean_the_same(name):
    model, given = reduced(name), weights_of(name)
    torch_names.load(model, given)
    wanted = snapshot(model)
    torch_names.load(model, {_other_spelling(key): a for key, a in given.items()})
    assert_same(snapshot(model), wanted)


def _other_spelling(key: str) -> str:
    for one, many in (("_matrix", "matrices."), ("_bias", "biases."), ("_factor", "factors.")):
        old, new = (many, one) if f"entropy_bottleneck.{many}" in key else (one, many)
        key = key.replace(f"entropy_bottleneck.{old}", f"entropy_bottleneck.{new}")
    return key


def test_other_types_of_float_are_taken(small):
    model, given = small
    torch_names.load(model, {key: a.astype(np.float64) for key, a in given.items()})
    wanted = snapshot(model)
    torch_names.load(model, {key: a.astype(np.float16) for key, a in given.items()})  # the reduced weights are exact
    assert_same(snapshot(model), wanted)


def test_density_is_one_of_z_without_its_median(small):
    model, given = small
    torch_names.load(model, given)
    median = given["entropy_bottleneck.quantiles"][:, 0, 1]
    x = median
    for k in range(5):  # Balle et al. 2018, appendix 6.1, on PyTorch's numbers
        matrix = np.log1p(np.exp(given[f"entropy_bottleneck._matrix{k}"]))
        x = (matrix @ (x if k else x[:, None, None])) + given[f"entropy_bottleneck._bias{k}"]
        if k < 4:
            x = x + np.tanh(given[f"entropy_bottleneck._factor{k}"]) * np.tanh(x)
    ours = model.prior.base.cdf(np.zeros_like(median)).numpy()
    np.testing.assert_allclose(ours, 1 / (1 + np.exp(-x.ravel())), rtol=1e-5)


def test_exported_quantiles_leave_the_tails_that_compressai_asks_for(small):
    model, given = small
    torch_names.load(model, given)
    quantiles = torch_export.to_state_dict(model)["entropy_bottleneck.quantiles"][:, 0]
    lower, _, upper = (quantiles - quantiles[:, 1:2]).T
    assert (lower < 0).all() and (upper > 0).all()
    np.testing.assert_allclose(model.prior.base.cdf(lower), torch_export.TAIL_MASS / 2, rtol=1e-3)
    np.testing.assert_allclose(model.prior.base.survival_function(upper), torch_export.TAIL_MASS / 2, rtol=1e-3)


def test_loading_drops_tables_that_were_built_from_other_weights(small):
    model, given = small
    model.freeze()
    torch_names.load(model, given)
    assert not model.frozen


def test_what_is_missing_unexpected_or_misshapen_is_named(small):
    model, given = small
    before = snapshot(model)
    given["extra.weight"] = given.pop("g_a.0.bias")
    given["h_a.2.weight"] = given["h_a.2.weight"][..., :3]
    given["h_s.0.bias"] = given["h_s.0.bias"] * np.nan
    with pytest.raises(torch_names.Misfit, match="1 missing, 1 unexpected, 1 of another shape, 1 not finite") as error:
        torch_names.load(model, given)
    assert error.value.findings == [
        "missing: g_a.0.bias (48,)", "unexpected: extra.weight (48,)",
        "of another shape: h_a.2.weight (32, 32, 5, 3) for (32, 32, 5, 5)", "not finite: h_s.0.bias"]
    assert_same(snapshot(model), before)


def test_weights_of_another_model_are_refused(small):
    with pytest.raises(DataError, match="do not fit preset 'custom'"):
        torch_names.load(small[0], weights_of("conv_charm_small"))


@pytest.mark.parametrize("script", config.PRESETS)
def test_preset_that_computes_otherwise_is_refused(script):
    tiny = dataclasses.replace(config.PRESETS[script]["tiny"], conventions=config.TENSORFLOW)
    with pytest.raises(DataError, match=r"computes otherwise .*sigma, padding"):
        torch_names.mapping(registry.build(script, tiny))


@pytest.mark.parametrize("foreign", [{}, {"conv1.weight": np.zeros((64, 3, 7, 7))}, {"g_a.0.weight": np.zeros(3)},
                                     {"h_mean_s.0.conv.weight": np.zeros(3), "g_a.9.bias": np.zeros(3)}])
def test_weights_of_no_known_model_are_refused(foreign):
    with pytest.raises(DataError, match="belong to no PyTorch model known here"):
        torch_names.preset_of(foreign)
