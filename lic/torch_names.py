"""Weights of the PyTorch implementations: which state-dict name is which of our variables, and in what layout.

    script, preset = torch_names.preset_of(state_dict)   # names -> numpy arrays
    model = registry.build(script, preset)
    torch_names.load(model, state_dict)
    model.freeze()

Known are LIC_TCM (`lsk2023`), TBTC (`zyc2022`), and CompressAI's Elic2022Official and Elic2022Chandelier
(`hypmqw2022`). Anything in front of the names ("module.", "model.", ...) and all buffers are skipped.

Layouts, theirs -> ours: convolution (out, in, h, w) and transposed convolution (in, out, h, w) -> (h, w, 2nd, 1st);
linear layers and GDN's gamma (out, in) -> (in, out); TCM's position biases (heads, 2w-1, 2w-1) -> ((2w-1)^2, heads).
Everything else is stored alike, the square roots of GDN's parameters too.

Gotchas:
* PyTorch's prior is a density of z, with a median m; ours is one of z - m. So m goes into `z_median`, and also into the
  prior's first bias: b0' = b0 + softplus(matrix 0) * m.
* Of `quantiles` only the median is a weight.
* Loading drops the range-coding tables: `freeze()` must follow.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

import numpy as np

import config
from config import ELICPreset, Preset, TCMPreset, ZYCPreset
from lic import weights
from lic.errors import DataError


class Layout(NamedTuple):
    """How an array is rearranged: `ours` takes theirs, `theirs` takes ours."""

    name: str
    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
    """Where an array goes: the path of our variable, as in `lic.weights.named_variables`, and the layout."""

    path: str
    layout: Layout


def _square_tables(table: np.ndarray) -> np.ndarray:
    side = round(len(table) ** 0.5)
    return table.T.reshape(-1, side, side)


SAME = Layout("same", lambda a: a, lambda a: a)
KERNEL = Layout("kernel", lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
MATRIX = Layout("matrix", lambda a: a.T, lambda a: a.T)
POSITION_BIAS = Layout("position bias", lambda a: a.reshape(len(a), -1).T, _square_tables)
MEDIAN = Layout("median", lambda a: a[:, 0, 1], lambda a: np.repeat(a[:, None, None], 3, -1))


# Names --------------------------------------------------------------------------------------------------------------
#
# A rule is a pattern in our path and what takes its place. Rules apply in order; at the end numbers written as 2*3+1
# are worked out. PyTorch counts activations as layers where ours belong to the layer before them, hence 2*.

_LAYER_NORM = [(r"(norm\d?)/gamma$", r"\1/weight"), (r"(norm\d?)/beta$", r"\1/bias")]
_ATTENTION_UNITS = [(r"(conv_[ab])/layers/(\d+)/conv(\d)", r"\1/\2/conv/2*\3-2"), (r"(conv_[ab])/layers", r"\1")]


def _tcm_rules(p: TCMPreset):
    """LIC_TCM. Its synthesis transforms end in a bare subpixel convolution, in whose place PyTorch has a Sequential."""
    last, hyper_last = sum(p.depths) + len(p.depths), p.hyper_depths + 1
    return [
        (rf"^(g_s/layers/{last}|h_s/\w+/layers/{hyper_last})/conv", r"\1/0"),
        (r"(subpel_conv|upsample)/conv", r"\1/0"),
        (r"^(g_a|g_s|h_a)/layers", r"\1"),
        (r"^h_s/(mean|scale)/layers", r"h_\1_s"),
        (r"^context/parameters/(\d+)/(atten_\w+?)/", r"\2/\1/0/"),
        (r"^context/parameters/(\d+)/(cc_\w+?)/layers/(\d+)", r"\2_transforms/\1/2*\3"),
        (r"^context/refine/(\d+)/layers/(\d+)", r"lrp_transforms/\1/2*\2"),
        *_ATTENTION_UNITS,
        (r"blocks/layers/(\d+)", r"block_1*\1+1"),
        *_LAYER_NORM,
        (r"/norm(\d)", r"/ln\1"),
        (r"attn/qkv", "msa/embedding_layer"), (r"attn/proj", "msa/linear"),
        (r"attn/bias_table", "msa/relative_position_params"),
        (r"mlp/fc(\d)", r"mlp/2*\1-2"),
    ]


def _zyc_rules(p: ZYCPreset):
    """TBTC. The analysis transforms' patch embedding stands outside of their list of stages."""
    charm = (r"^context/parameters/(\d+)/(mean|scale)/layers/(\d+)", r"charm_\2_transforms/\1/layers/2*\3")
    if p.transforms == "conv":
        return [charm, (r"^(g_[as])/layers", r"\1"), (r"^(h_[as])(?:/network)?/layers/(\d+)", r"\1/2*\2")]
    return [
        charm,
        (r"^g_a/layers/0", "g_a/patch_embed/proj"), (r"^h_a/layers/0", "h_a/patch_merger/proj"),
        (r"^(g_a|h_a)/layers/(\d+)", r"\1/layers/1*\2-1"),
        (r"^h_s/network", "h_s"),
        (r"blocks/layers", "blocks"),
        (r"resample", "downsample"),
        (r"attn/bias_table", "attn/relative_position_bias_table"),
        *_LAYER_NORM,
    ]


def _elic_rules(_: ELICPreset):
    """CompressAI's ELIC. Groups are y0, y1, ...; the first has no channel context."""
    return [
        (r"^(g_[as])/layers", r"\1"),
        (r"^(h_[as])/layers/(\d+)", r"latent_codec/hyper/\1/2*\2"),
        (r"^context/spatial/(\d+)", r"latent_codec/y/latent_codec/y\1/context_prediction"),
        (r"^context/parameters/(\d+)/layers/(\d+)", r"latent_codec/y/latent_codec/y\1/entropy_parameters/2*\2"),
        (r"^context/channel/(\d+)/layers/(\d+)", r"latent_codec/y/channel_context/y1*\1+1/2*\2"),
        *_ATTENTION_UNITS,
    ]


_PLURALS = {"matrix": "matrices", "bias": "biases", "factor": "factors"}
_PRIOR_OF_COMPRESSAI = [("^prior/median", "entropy_bottleneck/quantiles")] + [
    (f"^prior/{one}_", f"entropy_bottleneck/{many}/") for one, many in _PLURALS.items()]
_PRIOR_OF_TBTC = [("^prior/median", "entropy_bottleneck/quantiles"), (r"^prior/(\w+)_", r"entropy_bottleneck/_\1")]
_PRIOR_OF_ELIC = [*_PRIOR_OF_COMPRESSAI, ("^entropy_bottleneck", "latent_codec/hyper/entropy_bottleneck")]


def _rules(preset: Preset):
    leaves = [("/kernel$", "/weight")]
    if isinstance(preset, TCMPreset):
        return [*_tcm_rules(preset), *_PRIOR_OF_COMPRESSAI, *leaves]
    if isinstance(preset, ZYCPreset):
        return [*_zyc_rules(preset), *_PRIOR_OF_TBTC, *leaves]
    assert isinstance(preset, ELICPreset)
    return [*_elic_rules(preset), *_PRIOR_OF_ELIC, *leaves]


def _renamed(path: str, rules) -> str:
    for pattern, replacement in rules:
        path = re.sub(pattern, replacement, path)
    worked_out = re.sub(r"(\d+)\*(\d+)([+-]\d+)?", lambda m: str(int(m[1]) * int(m[2]) + int(m[3] or 0)), path)
    return worked_out.replace("/", ".")


def _layout(path: str, shape, key: str) -> Layout:
    if path == "prior/median":
        return MEDIAN
    if key.endswith("relative_position_params"):
        return POSITION_BIAS
    if path.endswith("/kernel"):
        return KERNEL if len(shape) == 4 else MATRIX
    return MATRIX if path.endswith("/gamma") and len(shape) == 2 else SAME


def mapping(model) -> dict[str, Entry]:
    """Every state-dict name that a model's preset has in PyTorch, and where its array goes.

    The prior's names are those that the implementation itself uses; `load` takes both spellings. The median's share of
    the first bias (see Gotchas) is no part of the layouts.

    Raises:
      DataError: the preset follows conventions that no PyTorch weights fit.
    """
    _require_conventions(model.preset)
    rules, entries = _rules(model.preset), {}
    for path, variable in weights.named_variables(model).items():
        key = _renamed(path, rules)
        entries[key] = Entry(path, _layout(path, variable.shape, key))
    return entries


def _odd_conventions(preset: Preset) -> list[str]:
    """Those in which it computes otherwise than PyTorch's models."""
    chandelier = getattr(preset, "channel_context", None) == "first_and_last"
    theirs = dataclasses.replace(config.PYTORCH, hyper_order="means_first" if chandelier else "scales_first")
    names = [f.name for f in dataclasses.fields(theirs)]
    return [name for name in names if getattr(theirs, name) != getattr(preset.conventions, name)]


def _require_conventions(preset: Preset) -> None:
    if odd := _odd_conventions(preset):
        raise DataError(f"preset '{preset.name}' computes otherwise than PyTorch's models ({', '.join(odd)}): "
                        "choose one that follows their conventions")


# Loading and exporting ----------------------------------------------------------------------------------------------

_BUFFERS = re.compile(
    r"(^|\.)((gaussian_conditional|beta_reparam|gamma_reparam|likelihood_lower_bound)\.|"
    r"(mask|attn_mask|relative_position_index|target|_offset|_quantized_cdf|_cdf_length)$)")


def _one_spelling(key: str) -> str:
    """The prior's names as TBTC writes them: entropy_bottleneck._matrix0 for entropy_bottleneck.matrices.0."""
    for one, many in _PLURALS.items():
        key = re.sub(rf"(entropy_bottleneck)\.{many}\.(\d+)$", rf"\1._{one}\2", key)
    return key


def parameters(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a state dict under plain names: no prefix, no buffers, one spelling of the prior."""
    prefix = next((key[:m.start()] for key in state_dict if (m := re.search(r"(?<![^.])g_a\.", key))), "")
    plain = {key[len(prefix):]: a for key, a in state_dict.items() if key.startswith(prefix)}
    return {_one_spelling(key): a for key, a in plain.items() if not _BUFFERS.search(key)}


class Misfit(DataError):
    """Weights that do not fit a model.

    Attributes:
      preset: the model's.
      findings: a line for each array that does not fit: what is wrong, its name and shape, and the one it should have.
    """

    def __init__(self, preset: Preset, findings: Mapping[str, list[str]]):
        self.preset = preset
        counts = ", ".join(f"{len(lines)} {what}" for what, lines in findings.items() if lines)
        super().__init__(f"the weights do not fit preset '{preset.name}': {counts}")
        self.findings = [f"{what}: {line}" for what, lines in findings.items() for line in lines]


def load(model, state_dict: Mapping[str, np.ndarray]) -> None:
    """Puts the weights of a PyTorch implementation into a model.

    Args:
      model: its preset has the state dict's sizes and PyTorch's conventions (see `preset_of`).
      state_dict: names -> arrays, or tensors that `np.asarray` takes.

    Raises:
      Misfit: arrays are missing, superfluous, of another shape or not finite.
      DataError: the preset's conventions fit no PyTorch model.
    """
    given = {key: np.asarray(a, np.float32) for key, a in parameters(state_dict).items()}
    expected = {_one_spelling(key): entry for key, entry in mapping(model).items()}
    _require_fit(model, given, expected)
    arrays = {path: layout.ours(given[key]) for key, (path, layout) in expected.items()}
    arrays["prior/bias_0"] = (arrays["prior/bias_0"] + prior_shift(arrays)).astype(np.float32)
    weights.assign(model, arrays)
    model.coding_models = None


def _require_fit(model, given: Mapping[str, np.ndarray], expected: Mapping[str, Entry]) -> None:
    variables = weights.named_variables(model)
    shapes = {key: layout.theirs(np.empty(variables[path].shape)).shape for key, (path, layout) in expected.items()}
    common = [key for key in shapes if key in given]
    findings = {
        "missing": [f"{key} {shape}" for key, shape in shapes.items() if key not in given],
        "unexpected": [f"{key} {a.shape}" for key, a in given.items() if key not in shapes],
        "of another shape": [f"{key} {given[key].shape} for {shapes[key]}" for key in common
                             if given[key].shape != shapes[key]],
        "not finite": [key for key in common if not np.isfinite(given[key]).all()],
    }
    if any(findings.values()):
        raise Misfit(model.preset, findings)


def prior_shift(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """What the median adds to the prior's first bias, (c, filters, 1), so that the density is one of z - median."""
    slope = np.logaddexp(0, arrays["prior/matrix_0"].astype(np.float64))      # softplus, (c, filters, 1)
    return slope * arrays["prior/median"][:, None, None]


# Recognising --------------------------------------------------------------------------------------------------------

UNKNOWN = "these weights belong to no PyTorch model known here (TCM, TBTC, CompressAI's ELIC)"
CUSTOM = 15  # number of a preset that has no name, in the code of its script's presets

Shapes = Mapping[str, tuple]


def preset_of(state_dict: Mapping[str, Any]) -> tuple[str, Preset]:
    """The script and preset that a state dict belongs to, by its names and shapes.

    It is a preset of `config` where one has these sizes, else one named "custom". What no shape shows is taken from the
    implementation: TBTC's score scale of 32 ** -0.5, and all that `config.PYTORCH` says.

    Raises:
      DataError: it is none of the known models.
    """
    shapes = {key: tuple(a.shape) for key, a in parameters(state_dict).items()}
    script = script_of(shapes)
    try:
        sizes = _SIZES[script](shapes)
    except KeyError as error:
        raise DataError(f"{UNKNOWN}: of those of {script} they lack {error.args[0]}") from None
    except (IndexError, ValueError, ZeroDivisionError, StopIteration):
        raise DataError(UNKNOWN) from None
    for preset in config.PRESETS[script].values():
        if preset == dataclasses.replace(sizes, name=preset.name, code=preset.code):
            return script, preset
    return script, dataclasses.replace(sizes, name="custom", code=sizes.code // 16 * 16 + CUSTOM)


def script_of(state_dict: Mapping[str, Any]) -> str:
    """The script whose model a state dict looks like by its names, whether all of it fits or not.

    Raises:
      DataError: it is none of the known models.
    """
    nets = {key.split(".")[0] for key in parameters(state_dict)}
    for net, script in (("h_mean_s", "lsk2023"), ("latent_codec", "hypmqw2022"), ("h_s", "zyc2022")):
        if {"g_a", net} <= nets:
            return script
    raise DataError(UNKNOWN)


def pytorch_presets(script: str) -> list[Preset]:
    """The presets of a script that PyTorch weights may fit."""
    return [preset for preset in config.PRESETS[script].values() if not _odd_conventions(preset)]


def _count(shapes: Shapes, name: str) -> int:
    """How many names are like this one, in which "#" stands for a number."""
    pattern = re.escape(name).replace(r"\#", r"\d+")
    return sum(re.fullmatch(pattern, key) is not None for key in shapes)


def _prior_filters(shapes: Shapes, prefix: str = "") -> tuple[int, ...]:
    key = prefix + "entropy_bottleneck._factor"
    return tuple(shapes[f"{key}{k}"][1] for k in range(_count(shapes, f"{key}#")))


def _hidden(shapes: Shapes, stack: str) -> tuple[int, int]:
    """The hidden widths of a stack of three convolutions."""
    return shapes[f"{stack}.0.weight"][0], shapes[f"{stack}.2.weight"][0]


def _sized(script: str, name: str, **sizes) -> Preset:
    """A preset with other sizes."""
    return dataclasses.replace(config.PRESETS[script][name], **sizes)


def _tcm_heads(shapes: Shapes, block: str) -> tuple[int, int]:
    """Heads and window of a Swin block."""
    heads, side, _ = shapes[f"{block}.msa.relative_position_params"]
    return heads, (side + 1) // 2


def _tcm_sizes(shapes: Shapes) -> Preset:
    blocks = _count(shapes, "g_a.#.skip.weight") + _count(shapes, "g_a.#.conv1_1.weight")
    starts = [k for k in range(blocks) if f"g_a.{k}.skip.weight" in shapes]
    widths = [shapes[f"g_a.{k}.gdn.beta"][0] // 2 for k in starts]
    heads = [_tcm_heads(shapes, f"g_a.{k + 1}.trans_block") for k in starts]
    hyper_width, hyper_heads = shapes["h_a.0.gdn.beta"][0] // 2, _tcm_heads(shapes, "h_a.1.trans_block")
    slices, latent = _count(shapes, "cc_mean_transforms.#.0.weight"), shapes[f"g_a.{blocks}.bias"][0]
    width, widest = shapes[f"atten_mean.{slices - 1}.0.in_conv.weight"][:2]
    attention = _tcm_heads(shapes, "atten_mean.0.0.non_local_block.block_1")
    support = (widest - latent) * slices // latent                            # what the last slice sees
    return _sized(
        "lsk2023", "large", latent_depth=latent, hyper_depth=shapes["entropy_bottleneck.quantiles"][0],
        prior_filters=_prior_filters(shapes),
        N=tuple(widths), head_dims=tuple(n // h for n, (h, _) in zip(widths, heads)),
        depths=tuple(end - start - 1 for start, end in zip(starts, [*starts[1:], blocks])),
        windows=(heads[0][1], hyper_heads[1]),
        hyper_N=hyper_width, hyper_head_dim=hyper_width // hyper_heads[0],
        hyper_depths=_count(shapes, "h_a.#.conv1_1.weight"),
        num_slices=slices, max_support_slices=slices if support == slices - 1 else support,
        slice_hidden=_hidden(shapes, "cc_mean_transforms.0"),
        attention_width=width, attention_head_dim=width // attention[0], attention_window=attention[1])


def _zyc_sizes(shapes: Shapes) -> Preset:
    swin = "g_a.patch_embed.proj.weight" in shapes
    slices = _count(shapes, "charm_mean_transforms.#.layers.0.weight")
    sizes: dict[str, Any] = dict(
        prior_filters=_prior_filters(shapes), hyper_depth=shapes["entropy_bottleneck.quantiles"][0])
    if slices:
        sizes.update(num_slices=slices, max_support_slices=slices, slice_hidden=tuple(
            _hidden(shapes, f"charm_mean_transforms.{k}.layers") for k in range(slices)))
    if swin:
        name = "swint-charm-tbtc" if slices else "swint-hyperprior"
        return _sized("zyc2022", name, **sizes, **_swin_sizes(shapes))
    name = "conv-charm" if slices else "conv-hyperprior"
    return _sized("zyc2022", name, **sizes, conv_width=shapes["g_a.0.bias"][0], latent_depth=shapes["g_a.6.bias"][0])


def _swin_sizes(shapes: Shapes) -> dict[str, Any]:
    def stages(net):
        return range(_count(shapes, f"{net}.layers.#.blocks.0.norm1.weight"))

    dims = tuple(shapes[f"g_a.layers.{k}.blocks.0.norm1.weight"][0] for k in stages("g_a"))
    tables = [shapes[f"{net}.layers.0.blocks.0.attn.relative_position_bias_table"] for net in ("g_a", "h_a")]
    depths = {net: tuple(_count(shapes, f"{net}.layers.{k}.blocks.#.norm1.weight") for k in stages(net))
              for net in ("g_a", "h_a")}
    return dict(dims=dims, latent_depth=dims[-1], depths=depths["g_a"], hyper_depths=depths["h_a"],
                heads=tables[0][1], windows=tuple((round(rows ** 0.5) + 1) // 2 for rows, _ in tables))


def _elic_sizes(shapes: Shapes) -> Preset:
    hyper, y = "latent_codec.hyper", "latent_codec.y"
    units = next(k for k in range(1, len(shapes)) if f"g_a.{k}.conv1.weight" not in shapes) - 1
    stages = [0, units + 1, 2 * units + 3, 3 * units + 4]                     # the strided convolutions of g_a
    groups = tuple(shapes[f"{y}.latent_codec.y{k}.context_prediction.weight"][1]
                   for k in range(_count(shapes, f"{y}.latent_codec.y#.context_prediction.weight")))
    h_s = [shapes[f"{hyper}.h_s.{k}.bias"][0] for k in (0, 2, 4)]
    official = shapes[f"{hyper}.h_s.4.weight"][:2] == (h_s[1], h_s[2])        # a transposed convolution: (in, out)
    return _sized(
        "hypmqw2022", "elic-official" if official else "elic-chandelier",
        N=tuple(shapes[f"g_a.{k}.bias"][0] for k in stages[:3]), num_units=units,
        latent_depth=shapes[f"g_a.{stages[3]}.bias"][0], hyper_depth=shapes[f"{hyper}.h_a.4.bias"][0],
        prior_filters=_prior_filters(shapes, f"{hyper}."), groups=groups,
        hyper_hidden=(_hidden(shapes, f"{hyper}.h_a"), (h_s[0], h_s[1])), hyper_out=h_s[2],
        channel_hidden=_hidden(shapes, f"{y}.channel_context.y1"),
        channel_kernel=shapes[f"{y}.channel_context.y1.4.weight"][2],
        parameter_hidden=tuple(_hidden(shapes, f"{y}.latent_codec.y{k}.entropy_parameters")
                               for k in range(len(groups))))


_SIZES = MappingProxyType({"lsk2023": _tcm_sizes, "zyc2022": _zyc_sizes, "hypmqw2022": _elic_sizes})
