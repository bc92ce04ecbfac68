"""The notebook of a paper: compress, look, compare, measure, train a little."""

from __future__ import annotations

from tools.notebooks.setting_up import ABOUT_COLAB, IMPORTS, INSTALL

_PROSE = {
    "lsk2023": """# TCM

**Liu, Sun, Katto: *Learned Image Compression with Mixed Transformer-CNN Architectures*, CVPR 2023.**

A convolution sees what is near, attention sees what is far. TCM's blocks split their channels between the two, a
residual block for one half and a window-attention block for the other, and mix them again. The latent is coded in five
slices of channels, one after the other; attention helps each slice to look at those before it, and a small network adds
what rounding took away.""",
    "zyc2022": """# SwinT-ChARM

**Zhu, Yang, Cohen: *Transformer-Based Transform Coding*, ICLR 2022.**

Analysis and synthesis without convolutions: Swin transformer blocks, whose attention stays within small windows that
shift from block to block, with patch merging on the way down and patch splitting on the way up. The latent is coded in
slices of channels, each predicted from the hyperprior and from the slices before it.""",
    "hypmqw2022": """# ELIC

**He, Yang, Peng, Ma, Qin, Wang: *ELIC: Efficient Learned Image Compression with Unevenly Grouped Space-Channel
Contextual Adaptive Coding*, CVPR 2022.**

The first channels of a latent carry the most, so ELIC cuts it into groups that grow: 16, 16, 32, 64 and the rest.
Within a group half of the positions, the anchors of a checkerboard, are coded first, and the other half sees them. Few
steps, each of them parallel, and yet each symbol is predicted from its neighbours and from the groups before.""",
}

_COMPRESS = '''
codec = lic.load("{script}")   # the small model that comes with the project; or the folder of another
quality = 50 if codec.variable else None   # 1..100 of a model for every rate
picture = images.read(resources.path("eval", "kodim23.png")).pixels   # uint8 (h, w, 3); any picture will do

data = codec.compress_pixels(picture, quality=quality)   # the bytes of a .tfci file
restored = codec.decompress(data)
print(f"{{codec.about['script']}} {{codec.about['preset']}}, weights {{codec.weights_id}}: {{picture.nbytes:,}} bytes "
      f"become {{len(data):,}}, {{metrics.bits_per_pixel(len(data), *picture.shape[:2]):.3f}} bits per pixel")
print(f"PSNR {{metrics.psnr(picture, restored):.2f}} dB, MS-SSIM {{metrics.ms_ssim(picture, restored):.4f}}")
'''

_LOOK = '''
import numpy as np

part = (slice(200, 296), slice(140, 284))   # rows and columns around an eye
show({"original": picture, "reconstruction": restored}, across=2)
difference = 128 + 4 * (restored[part].astype(int) - picture[part])
show({"original": picture[part], "reconstruction": restored[part],
      "difference, 4 times": np.clip(difference, 0, 255).astype(np.uint8)}, across=3, interpolation="nearest")
'''

_COMPARE = '''
from lic.demo import compare
from lic.evaluation import classical

against = classical.chosen(["jpeg", "webp", "avif"])
found = [compare.through_model(codec, "kodim23", picture, quality),
         *(compare.through_classical(each, "kodim23", picture, len(data)) for each in against)]
names = {f"{p.row.codec}\\n{p.row.bytes:,} bytes, {p.row.psnr:.2f} dB": p.restored[part] for p in found}
show({"original": picture[part], **names}, across=5, interpolation="nearest")
'''

_BITS = '''
from lic import bitstream

_, (record,) = bitstream.parse(data)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
shown = left.imshow(codec.bits_map(picture, quality) / 256, cmap="inferno")
left.set_title("bits per pixel, estimated for each 16 x 16 pixels")
left.axis("off")
figure.colorbar(shown, ax=left, shrink=0.8)
right.bar(range(len(record.strings)), [len(string) for string in record.strings], color="#0057b8")
right.set(title="bytes of the strings of the file, the hyper latent first", xlabel="string",
          xticks=range(len(record.strings)))
plt.show()
'''

_MEASURE = '''
from tqdm import tqdm

from lic.evaluation import learned, measuring
from lic.evaluation.results import results

paths = [resources.path("eval", "kodim23.png")]
settings = learned.settings([codec], None) + classical.settings(against)
with tqdm(total=len(paths) * len(settings), disable=True) as bar:
    measured = measuring.measure(paths, settings, [], bar, print)
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for curve in results(measured, learned.about([codec]), against).drawn:
    axes.plot(curve.bpp, curve.psnr, "o-" if curve.kind == "model" else "--", label=curve.name, markersize=4)
axes.set(xlim=(0, 1.5), ylim=(25, 42), xlabel="bits per pixel", ylabel="PSNR (dB)", title="kodim23")
axes.grid(alpha=0.4)
axes.legend(frameon=False)
plt.show()
'''

_TRAIN = '''
import config
from lic import registry
from lic.training import Run

photographs = os.path.join(os.path.dirname(paths[0]), "kodim*.png")
settings = config.Training(train_glob=photographs, train_path="build/tiny", epochs=5, steps_per_epoch=60, batchsize=4,
                           patchsize=64, learning_rate=2e-3, lr_schedule="cosine", lmbda=0.02)
Run("{script}", registry.preset("{script}", "tiny"), settings).train()
'''

_TRAINED = '''
small = lic.load("build/tiny/model")
restored = small.decompress(data := small.compress_pixels(picture))
bpp = metrics.bits_per_pixel(len(data), *picture.shape[:2])
print(f"after {settings.epochs * settings.steps_per_epoch} steps: {bpp:.3f} bits per pixel, "
      f"{metrics.psnr(picture, restored):.2f} dB")
show({"original": picture, "what the tiny model makes of it": restored}, across=2)
'''


def cells(script: str) -> list[str]:
    """The texts of the cells, in order."""
    return [
        f"{_PROSE[script]}\n\n{ABOUT_COLAB}",
        INSTALL,
        IMPORTS,
        "## Compress a picture\n\nThe model that comes along is small (`nano`), made to run on a processor; the sizes "
        "of the paper are presets of the same code.",
        _COMPRESS.format(script=script),
        "## Look at it",
        _LOOK,
        "## Beside classical codecs\n\nEach at the quality whose file comes nearest to the size of the model's.",
        _COMPARE,
        "## Where the bits go\n\nThe entropy model charges for each symbol what it did not foresee.",
        _BITS,
        "## Rate and distortion\n\nReal files of one picture, decoded again. The figures of the models over all of "
        "Kodak, beside the published curves, stand in the README.",
        _MEASURE,
        "## A short training\n\nThe same lines train the papers' models; here a `tiny` one sees patches of two "
        "photographs for a minute, and is no codec yet. `train --help` has the papers' settings.",
        _TRAIN.format(script=script),
        _TRAINED,
    ]
