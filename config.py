"""Frozen presets of every paper, training settings and run-time switches.

A preset says everything about an architecture; the models read their shape from it and from nothing else.
Nothing here imports TensorFlow, so that `--help` and `info` answer at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Conventions:
    """Where public implementations of one and the same paper differ.

    Attributes:
      sigma: what the scale networks put out: the "scale" itself (bounded below at 0.11) or an "index" 0..63
        into a logarithmic table of scales.
      padding: how strided convolutions of odd kernels pad: "symmetric" (k // 2 on both sides, PyTorch) or
        "same" (TensorFlow: one pixel less on the left and top).
      gdn: "gdn" is x / sqrt(beta + gamma x^2) (Balle et al. 2016); "gdn1" is x / (beta + gamma |x|)
        (Johnston et al. 2019, the default of TFC).
      pixel_shuffle: where the 2x2 position stands in the channels before depth-to-space: "inner"
        (c * 4 + dy * 2 + dx, PyTorch) or "outer" ((dy * 2 + dx) * c, TensorFlow).
      patch_merge: the order of the four pixels that patch merging concatenates: "rows_first" ((0,0), (1,0),
        (0,1), (1,1), the published Swin code) or "columns_first" (space-to-depth).
      patch_split: "norm_linear" (TBTC) or "linear_norm" (the paper's section 3.1; the last one has no norm and a
        bias).
      anchors: which sites of the checkerboard are decoded first: those where row + column is "even" or "odd".
      hyper_order: whether the hyper synthesis puts out "scales_first" or "means_first"; ELIC's parameter networks
        likewise.
      likelihood_floor: least likelihood of a symbol when bits are counted: 1e-9 in CompressAI, 0 in TFC, whose coder
        escapes.
      unit_relu: whether the residual units of attention blocks end in a ReLU (CompressAI) or not.
    """

    sigma: str = "scale"
    padding: str = "symmetric"
    gdn: str = "gdn"
    pixel_shuffle: str = "inner"
    patch_merge: str = "rows_first"
    patch_split: str = "norm_linear"
    anchors: str = "even"
    hyper_order: str = "scales_first"
    unit_relu: bool = True
    likelihood_floor: float = 1e-9

    def __post_init__(self):
        for name, allowed in _CONVENTIONS.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(map(str, allowed))}")


_CONVENTIONS = MappingProxyType({
    "sigma": ("scale", "index"),
    "padding": ("symmetric", "same"),
    "gdn": ("gdn", "gdn1"),
    "pixel_shuffle": ("inner", "outer"),
    "patch_merge": ("rows_first", "columns_first"),
    "patch_split": ("norm_linear", "linear_norm"),
    "anchors": ("even", "odd"),
    "hyper_order": ("scales_first", "means_first"),
    "unit_relu": (True, False),
    "likelihood_floor": (1e-9, 0.0),
})

PYTORCH = Conventions()
TENSORFLOW = Conventions(
    sigma="index", padding="same", gdn="gdn1", pixel_shuffle="outer", patch_split="linear_norm",
    anchors="odd", hyper_order="means_first", unit_relu=False, likelihood_floor=0.0)


@dataclass(frozen=True)
class Preset:
    """What every preset has.

    Attributes:
      name: as given to `--preset`.
      code: one byte that stands for script and preset in a file (script * 16 + number); never reused.
      latent_depth: channels of y (M).
      hyper_depth: channels of z.
      prior_filters: widths of the factorised prior of z ((3, 3) in TFC, (3, 3, 3, 3) in CompressAI).
      conventions: which public implementation it follows.
      lambdas: of one model for many rates, the ladder that its gains are learned for; empty for one rate
        (`variable` gives any preset one).
      bytes_per_pixel: working memory of the transforms, as `python -m tools.memory` measures it; from it follows the
        side of the tiles that large pictures are cut into.
    """

    name: str
    code: int
    latent_depth: int = 320
    hyper_depth: int = 192
    prior_filters: tuple[int, ...] = (3, 3)
    conventions: Conventions = PYTORCH
    lambdas: tuple[float, ...] = ()
    # 5200 is that of the largest: safe for what was not measured. It tells no two architectures apart.
    bytes_per_pixel: int = field(default=5200, compare=False)


@dataclass(frozen=True)
class TCMPreset(Preset):
    """TCM (Liu, Sun, Katto, CVPR 2023, section 3 and figures 3 to 6).

    Attributes:
      N: half the width of the stages at 1/2, 1/4 and 1/8 (every ConvTransBlock has N convolutional and N
        transformer channels).
      head_dims: channels a head at those stages; depths: ConvTransBlocks a stage; windows: of g_a / g_s and of h.
      hyper_N, hyper_head_dim, hyper_depths: the same for h_a and h_s.
      num_slices, max_support_slices: of the channel-wise context; the support is the first slices.
      slice_hidden: the two hidden widths of the mean, scale and residual-prediction networks; slice_kernel: of their
        first convolution, which sees the most channels.
      attention_width, attention_head_dim, attention_window: of SWAtten.
    """

    N: tuple[int, int, int] = (128, 128, 128)
    head_dims: tuple[int, int, int] = (8, 16, 32)
    depths: tuple[int, int, int] = (2, 2, 2)
    windows: tuple[int, int] = (8, 4)
    hyper_N: int = 128
    hyper_head_dim: int = 32
    hyper_depths: int = 2
    num_slices: int = 5
    max_support_slices: int = 5
    slice_hidden: tuple[int, int] = (224, 128)
    slice_kernel: int = 3
    attention_width: int = 128
    attention_head_dim: int = 16
    attention_window: int = 8


@dataclass(frozen=True)
class ZYCPreset(Preset):
    """SwinT-ChARM and its siblings (Zhu, Yang, Cohen, ICLR 2022, section 3, appendix A.2).

    Attributes:
      transforms: "swin" or "conv"; entropy: "charm" (channel-wise autoregressive) or "hyperprior".
      dims, depths: widths and numbers of Swin blocks of g_a at 1/2, 1/4, 1/8, 1/16 (g_s mirrors them).
      hyper_depths: numbers of Swin blocks of h_a at 1/32 and 1/64 (h_s mirrors them).
      head_dim: channels a head where `heads` is None; else the score scale is head_dim ** -0.5 all the same.
      heads: None (heads = width / head_dim, the paper) or a fixed number (4 in TBTC).
      windows: of g_a / g_s and of h_a / h_s.
      resample_norm: whether patch merging and splitting normalise. Without it a small model can begin linear.
      conv_width: channels of the convolutional g_a / g_s (transforms "conv").
      num_slices, max_support_slices: of ChARM.
      slice_hidden: the two hidden widths of each slice's networks.
    """

    transforms: str = "swin"
    entropy: str = "charm"
    dims: tuple[int, int, int, int] = (128, 192, 256, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    hyper_depths: tuple[int, int] = (5, 1)
    head_dim: int = 32
    heads: int | None = None
    windows: tuple[int, int] = (8, 4)
    resample_norm: bool = True
    conv_width: int = 320
    num_slices: int = 10
    max_support_slices: int = 10
    slice_hidden: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ELICPreset(Preset):
    """ELIC (He et al., CVPR 2022, section 4, figures 3 to 6).

    Attributes:
      N: widths of the stages at 1/2, 1/4 and 1/8.
      num_units: residual bottleneck blocks a stage.
      groups: channels of the unevenly grouped slices of y.
      latent_attention: whether attention blocks stand at the latent's end of g_a and g_s, where they are costly.
      spatial_kernel: of the masked convolutions over the checkerboard.
      hyper_hidden: hidden widths of h_a and of h_s; hyper_out: channels of h_s's output.
      hyper_rdft: whether the kernels of h_a are stored as their Fourier transforms (TFC's default, which the
        published TF script uses: 30 numbers for 25 taps, 12 for 9).
      hyper_bias: whether the last layer of h_a has a bias; hyper_relu: whether h_s ends in a ReLU.
      hyper_last_transposed: whether the last layer of h_s is a transposed convolution (`elic-official`).
      channel_hidden, channel_kernel: hidden widths and last kernel of the channel context.
      channel_context: "all" previous groups, or the "first_and_last" of them.
      context_order: how the parameter networks' input is put together: "channel_first" (channel, spatial,
        hyper) or "spatial_first".
      parameter_hidden: hidden widths of each group's parameter network.
    """

    N: tuple[int, int, int] = (192, 192, 192)
    num_units: int = 3
    groups: tuple[int, ...] = (16, 16, 32, 64, 192)
    latent_attention: bool = True
    spatial_kernel: int = 5
    hyper_hidden: tuple[tuple[int, int], tuple[int, int]] = ((320, 256), (320, 480))
    hyper_out: int = 640
    hyper_rdft: bool = False
    hyper_bias: bool = True
    hyper_relu: bool = False
    hyper_last_transposed: bool = False
    channel_hidden: tuple[int, int] = (224, 128)
    channel_kernel: int = 5
    channel_context: str = "all"
    context_order: str = "spatial_first"
    parameter_hidden: tuple[tuple[int, int], ...] = ()


def charm_hidden(num_slices: int, depth: int = 32) -> tuple[tuple[int, int], ...]:
    """Hidden widths of ChARM's networks, interpolated linearly between input and output (Minnen & Singh 2020, A)."""
    inputs = [depth * (k + 1) for k in range(num_slices)]
    return tuple((n + (depth - n) // 3, n + 2 * (depth - n) // 3) for n in inputs)


# The depths that the authors' training log shows (Zhu et al.; quoted by the published TF script).
_CHARM_OF_THE_AUTHORS = tuple(zip(
    (64, 64, 85, 106, 128, 149, 170, 192, 213, 234),
    (32, 32, 42, 53, 64, 74, 85, 96, 106, 117)))

_ELIC_TENSORFLOW = replace(TENSORFLOW, gdn="gdn")  # ELIC has no GDN: the field is left at its default
_COMPRESSAI = (3, 3, 3, 3)


def _tcm(name: str, code: int, n: int, bytes_per_pixel: int) -> TCMPreset:
    return TCMPreset(name, code, N=(n, n, n), hyper_N=n, prior_filters=_COMPRESSAI, bytes_per_pixel=bytes_per_pixel)


def _tbtc(name: str, code: int, transforms: str, entropy: str, bytes_per_pixel: int) -> ZYCPreset:
    return ZYCPreset(name, code, transforms=transforms, entropy=entropy, heads=4, prior_filters=_COMPRESSAI,
                     slice_hidden=charm_hidden(10), bytes_per_pixel=bytes_per_pixel)


LSK2023 = (
    _tcm("large", 0x10, 128, 5200),
    _tcm("medium", 0x11, 96, 3700),
    _tcm("small", 0x12, 64, 3200),
    TCMPreset("nano", 0x13, bytes_per_pixel=900, latent_depth=224, hyper_depth=48, N=(8, 20, 40),
              head_dims=(8, 10, 20), hyper_N=12, hyper_head_dim=12, num_slices=4, max_support_slices=4,
              slice_hidden=(40, 32), slice_kernel=1, attention_width=32, attention_head_dim=16, depths=(1, 2, 2)),
    TCMPreset("tiny", 0x14, bytes_per_pixel=700, latent_depth=16, hyper_depth=8, N=(4, 4, 8),
              head_dims=(4, 4, 4), hyper_N=4, hyper_head_dim=4, num_slices=2, max_support_slices=2,
              slice_hidden=(12, 8), attention_width=8, attention_head_dim=4, depths=(1, 2, 2)),
)

ZYC2022 = (
    ZYCPreset("swint-charm", 0x20, bytes_per_pixel=2700, slice_hidden=_CHARM_OF_THE_AUTHORS, conventions=TENSORFLOW),
    _tbtc("swint-charm-tbtc", 0x21, "swin", "charm", 2700),
    _tbtc("swint-hyperprior", 0x22, "swin", "hyperprior", 2700),
    _tbtc("conv-charm", 0x23, "conv", "charm", 3700),
    _tbtc("conv-hyperprior", 0x24, "conv", "hyperprior", 3500),
    ZYCPreset("nano", 0x25, bytes_per_pixel=800, latent_depth=288, hyper_depth=48, dims=(24, 48, 96, 288),
              depths=(1, 2, 2, 0), hyper_depths=(2, 1), head_dim=24, resample_norm=False, num_slices=6,
              max_support_slices=6, slice_hidden=((64, 48),) * 6, conventions=TENSORFLOW),
    ZYCPreset("tiny", 0x26, bytes_per_pixel=600, latent_depth=16, hyper_depth=8, dims=(8, 8, 12, 16),
              depths=(1, 2, 1, 1), hyper_depths=(2, 1), head_dim=4, num_slices=2, max_support_slices=2,
              slice_hidden=((12, 8),) * 2, conventions=TENSORFLOW),
)

HYPMQW2022 = (
    ELICPreset("elic", 0x30, bytes_per_pixel=1300, hyper_rdft=True, hyper_bias=False, hyper_relu=True, channel_kernel=3,
               context_order="channel_first", conventions=_ELIC_TENSORFLOW,
               parameter_hidden=tuple((3 * g, 2 * g) for g in (16, 16, 32, 64, 192))),
    ELICPreset("elic-official", 0x31, bytes_per_pixel=2500, hyper_hidden=((192, 192), (192, 288)), hyper_out=384,
               hyper_last_transposed=True, prior_filters=_COMPRESSAI,
               parameter_hidden=((384, 384), (384, 384), (384, 384), (469, 384), (896, 640))),
    ELICPreset("elic-chandelier", 0x32, bytes_per_pixel=2600, hyper_hidden=((192, 192), (192, 288)),
               prior_filters=_COMPRESSAI, channel_context="first_and_last",
               conventions=replace(PYTORCH, hyper_order="means_first"), parameter_hidden=((640, 512),) * 5),
    ELICPreset("nano", 0x33, bytes_per_pixel=500, latent_depth=288, hyper_depth=48, N=(24, 48, 96), num_units=4,
               groups=(16, 32, 56, 80, 104), latent_attention=False, spatial_kernel=3,
               hyper_hidden=((48, 48), (48, 64)), hyper_out=128, channel_hidden=(32, 32), channel_kernel=3,
               context_order="channel_first", conventions=_ELIC_TENSORFLOW,
               parameter_hidden=((48, 40), (64, 64), (104, 104), (144, 160), (176, 200))),
    ELICPreset("tiny", 0x34, bytes_per_pixel=300, latent_depth=16, hyper_depth=8, N=(8, 8, 12), num_units=1,
               groups=(4, 4, 8), hyper_hidden=((12, 8), (8, 12)), hyper_out=32, channel_hidden=(12, 8),
               channel_kernel=3, context_order="channel_first", conventions=_ELIC_TENSORFLOW,
               parameter_hidden=((12, 8), (12, 8), (24, 16))),
)

PRESETS: Mapping[str, Mapping[str, Preset]] = MappingProxyType({
    script: MappingProxyType({p.name: p for p in presets})
    for script, presets in (("lsk2023", LSK2023), ("zyc2022", ZYC2022), ("hypmqw2022", HYPMQW2022))
})


VARIABLE = "-variable"     # ends the name of a preset with many rates
QUALITIES = (1.0, 100.0)   # the ends of the ladder below
DEFAULT_QUALITY = 50.0
MAX_EFFORT = 10000   # steps of refining a latent; after some hundreds nothing is left to gain
_LADDER = tuple(0.0004 * 200 ** (i / 7) for i in range(8))   # on Kodak about 0.1 to 1.4 bits per pixel


def variable(preset: Preset) -> Preset:
    """The same architecture with gains for every rate (`lic.gains`)."""
    return replace(preset, name=preset.name + VARIABLE, lambdas=_LADDER)


def default_preset(script: str) -> Preset:
    """The preset of the paper that a script stands for: its first."""
    return next(iter(PRESETS[script].values()))


def by_code(code: int) -> tuple[str, Preset] | None:
    """The script and preset that a file's model code stands for, or None where it is unknown."""
    for script, presets in PRESETS.items():
        for preset in presets.values():
            if preset.code == code:
                return script, preset
    return None


def _flag(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Runtime:
    """Switches that change how a model runs, never what it is; each is a flag of the command line."""

    arithmetic: str = _flag("portable", "arithmetic that decides symbols: portable (integers: files decode on any "
                                        "machine) or float32 (faster, files tied to this kind of machine)")
    precision: str = _flag("float32", "type of analysis and synthesis: float32 or bfloat16")
    tf32: bool = _flag(False, "let float32 operations use TF32 on GPUs that have it")
    xla: bool = _flag(False, "compile the transforms, and the training step, with XLA")
    deterministic: bool = _flag(False, "run-to-run determinism of every operation (slower on a GPU)")
    threads: int = _flag(0, "threads of a single operation; 0 lets TensorFlow choose, but many small pictures have a "
                            "core each")


CHOICES = MappingProxyType({
    "arithmetic": ("portable", "float32"),
    "precision": ("float32", "bfloat16"),
    "distortion": ("mse", "ms-ssim"),
    "lr_schedule": ("drop", "multistep", "cosine", "constant"),
    "precision_policy": ("float32", "mixed_bfloat16"),
})

# Of the papers, for `train --help`: what lambda means there is brought to bits per pixel + lambda * distortion.
# Zhu et al. weigh the bits of a 256 x 256 patch instead, by 0.003, 0.001, 0.0003 and 0.0001.
LAMBDAS = MappingProxyType({
    "lsk2023": MappingProxyType({"mse": (0.0025, 0.0035, 0.0067, 0.013, 0.025, 0.05),
                                 "ms-ssim": (3, 5, 8, 16, 36, 64)}),
    "zyc2022": MappingProxyType({"mse": (0.0051, 0.0153, 0.0509, 0.1526)}),
    "hypmqw2022": MappingProxyType({"mse": (0.0004, 0.0008, 0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045)}),
})


@dataclass(frozen=True)
class Training:
    """Settings of `train`; the command line's flags are made from these fields."""

    lmbda: float = _flag(0.01, "lambda of the loss, bits per pixel + lambda * distortion, for a preset of one rate")
    distortion: str = _flag("mse", "mse (of 0..255), or ms-ssim for 1 - MS-SSIM")
    train_glob: str = _flag("", "pictures to train on: a folder, or a glob such as 'pics/**/*.jpg'; without it --tfds")
    tfds: str = _flag("clic", "picture set of TensorFlow Datasets to train on, its split 'train', where there is no "
                              "--train_glob")
    train_path: str = _flag("build/train", "folder of checkpoints and logs; a run that stands there goes on")
    init_from: str = _flag("", "begin with the weights of a model, of a training run or, by the script's name, of the "
                               "bundled model; the same preset")
    linear_start: bool = _flag(False, "begin as a good linear transform, the principal components of the pictures, "
                                      "instead of random weights (not where patch merging normalises)")
    model_path: str = _flag("", "folder that the trained model is saved to, a new one or that of this run (default: "
                                "TRAIN_PATH/model)")
    epochs: int = _flag(1000, "number of epochs")
    steps_per_epoch: int = _flag(1000, "steps an epoch; a checkpoint is written after each epoch")
    minutes: float = _flag(0.0, "end after so many minutes, if not earlier, and save the model; the schedule follows "
                                "the clock then, and a run that goes on begins it anew; 0 for no limit")
    batchsize: int = _flag(8, "pictures a step, of all devices and machines together")
    patchsize: int = _flag(256, "side of the square training patches, in pixels")
    resize: bool = _flag(False, "make each picture smaller by a random factor before its patch is cut: sharper patches "
                                "from large photographs")
    learning_rate: float = _flag(1e-4, "learning rate of Adam")
    lr_schedule: str = _flag("drop", "drop (to a tenth for the last tenth of the training), multistep (to a tenth at "
                                     "each of --lr_steps), cosine (to a hundredth) or constant")
    lr_steps: str = _flag("0.9,0.96", "where multistep lowers the learning rate, in fractions of the training")
    warmup_steps: int = _flag(0, "steps over which the learning rate grows to its value")
    clip_norm: float = _flag(1.0, "bound on the global norm of the gradient; 0 for none")
    ema: float = _flag(0.0, "decay of the moving average of the weights that is saved as the model; 0 for none")
    precision_policy: str = _flag("float32", "float32, or mixed_bfloat16 for analysis and synthesis in bfloat16")
    seed: int = _flag(0, "seed of the weights, the patches and the noise")
    preprocess_threads: int = _flag(4, "pictures that are decoded at the same time")
    validation_glob: str = _flag("", "whole pictures, a folder or a glob, that are measured after each epoch")


@dataclass(frozen=True)
class Serving:
    """Settings of `serve`; the command line's flags are made from these fields."""

    host: str = _flag("127.0.0.1", "address to listen on; 0.0.0.0 for every network that the machine is in")
    grpc_port: int = _flag(8500, "port of gRPC; 0 for any that is free")
    rest_port: int = _flag(8501, "port of REST; 0 for any that is free")
    workers: int = _flag(2, "requests that are worked on at the same time")
    queue: int = _flag(64, "requests that may wait besides; more are refused at once")
    timeout: float = _flag(120.0, "seconds that a request may take, its wait included, where its client sets no less")
    max_request: float = _flag(64.0, "megabytes of a request")
    max_megapixels: float = _flag(50.0, "megapixels of all pictures of a request together")
    poll: float = _flag(2.0, "seconds between two looks for new versions of the models")
    grace: float = _flag(60.0, "seconds that requests under way have when the server is told to stop")


def as_dict(preset: Preset) -> dict:
    """The preset as plain JSON-ready data."""
    return dataclasses.asdict(preset)


def from_dict(script: str, values: Mapping[str, Any]) -> Preset:
    """A script's preset out of what `as_dict` gave, also by way of JSON.

    Raises:
      KeyError, TypeError, ValueError: it is no such thing.
    """
    given = {**values, "conventions": Conventions(**values["conventions"])}
    preset = type(default_preset(script))(**{name: _as_tuples(value) for name, value in given.items()})
    for f in dataclasses.fields(preset):
        _require_like(f.name, getattr(preset, f.name), getattr(default_preset(script), f.name))
    return preset


def _as_tuples(value):
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _require_like(name: str, value, example) -> None:
    """Raises ValueError where a field's value isn't of the kind that another preset has there."""
    if isinstance(example, tuple) and isinstance(value, tuple):
        alike = all(type(number) in (int, float) for number in _leaves(value))
    else:
        alike = type(value) is type(example) or (example is None and type(value) is int)
    if not alike:
        raise ValueError(f"{name} is {value!r}")


def _leaves(value) -> Iterator:
    for item in value:
        yield from _leaves(item) if isinstance(item, tuple) else (item,)
