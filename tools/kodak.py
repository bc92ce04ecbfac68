"""Measures the bundled models with real files, beside JPEG at the same rate, and writes `res/eval`.

    python tools/kodak.py 'kodak/*.png' --out res/eval --samples kodim15 kodim23

For each model: bytes of the files, PSNR and MS-SSIM of what they decode to, its own estimate of the rate, and the
PSNR of JPEG (Pillow, 4:2:0, optimised) interpolated at the model's average rate. `results.json` holds every picture.
"""

from __future__ import annotations

import argparse
import glob
import io
import json
import os
import shutil
import sys

import numpy as np
from PIL import Image
from tqdm import tqdm

JPEG_QUALITIES = (3, 5, 7, 9, 11, 13, 16, 20, 25, 30, 40, 50, 60, 70)


def jpeg(pixels: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """(bytes of the file, what it decodes to)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True, subsampling=2)
    return len(buffer.getvalue()), np.asarray(Image.open(buffer).convert("RGB"))


def figures(pixels: np.ndarray, restored: np.ndarray, size: int) -> dict[str, float]:
    """Rate and distortion of one picture."""
    from lic import metrics
    return {"bytes": size, "bpp": metrics.bits_per_pixel(size, *pixels.shape[:2]),
            "psnr": metrics.psnr(pixels, restored), "ms_ssim": metrics.ms_ssim(pixels, restored) or float("nan")}


def mean(rows: list[dict], key: str) -> float:
    """Average over pictures."""
    return float(np.mean([row[key] for row in rows]))


def jpeg_curve(pictures: dict[str, np.ndarray]) -> list[dict]:
    """JPEG's average rate and distortion at each quality."""
    curve = []
    for quality in tqdm(JPEG_QUALITIES, "jpeg"):
        rows = []
        for pixels in pictures.values():
            size, restored = jpeg(pixels, quality)
            rows.append(figures(pixels, restored, size))
        curve.append({"quality": quality, **{key: mean(rows, key) for key in ("bpp", "psnr", "ms_ssim")}})
    return curve


def estimate(model, pixels: np.ndarray) -> float:
    """Bytes that the model's own estimate gives a picture."""
    import tensorflow as tf
    result = model.estimate(tf.constant(pixels[None], tf.float32))
    return float(result.bits_y[0] + result.bits_z[0]) / 8


def measure(script: str, pictures: dict[str, np.ndarray], samples: list[str], out: str) -> list[dict]:
    """Every picture through one bundled model; keeps the reconstructions of the samples."""
    import config
    from lic import codec, images, resources, weights
    model, identity = weights.load(resources.bundled(script))
    coder = codec.from_model(model, script, identity, config.Runtime())
    rows = []
    for name, pixels in tqdm(pictures.items(), script):
        data = coder.compress_pixels(pixels)
        restored = coder.decompress(data)
        rows.append({"picture": name, **figures(pixels, restored, len(data)), "estimate": estimate(model, pixels)})
        if name in samples:
            images.write(os.path.join(out, f"{name}-{script}.png"), restored)
    return rows


def summary(script: str, rows: list[dict], curve: list[dict]) -> dict:
    """Averages, JPEG at the same average rate, and real bytes against the estimate."""
    bpp = mean(rows, "bpp")
    at_rate = np.interp(bpp, [p["bpp"] for p in curve], [p["psnr"] for p in curve])
    return {"script": script, "preset": "nano", "pictures": len(rows), "bpp": bpp, "psnr": mean(rows, "psnr"),
            "ms_ssim": mean(rows, "ms_ssim"), "jpeg_psnr_at_this_bpp": float(at_rate),
            "bytes_over_estimate": mean(rows, "bytes") / mean(rows, "estimate") - 1}


def plot(summaries: list[dict], curve: list[dict], path: str) -> None:
    """Rate against PSNR."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(6, 4.2))
    shown = [p for p in curve if p["bpp"] < 2.5 * max(s["bpp"] for s in summaries)]
    axes.plot([p["bpp"] for p in shown], [p["psnr"] for p in shown], "-", color="0.5", label="JPEG (4:2:0, optimised)")
    for s, marker in zip(summaries, "osD"):
        axes.plot(s["bpp"], s["psnr"], marker, label=f"{s['script']} {s['preset']}")
    axes.set(xlabel="bits per pixel of the file", ylabel="PSNR (dB, RGB)", title="Kodak, average of 24 pictures")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Runs the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", help="a glob in quotes")
    parser.add_argument("--out", default="res/eval")
    parser.add_argument("--samples", nargs="*", default=[])
    parser.add_argument("--scripts", nargs="*", default=["lsk2023", "zyc2022", "hypmqw2022"])
    a = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    paths = sorted(glob.glob(a.pictures))
    if not paths:
        sys.exit(f"'{a.pictures}' matches no picture")
    os.makedirs(a.out, exist_ok=True)
    pictures = {os.path.splitext(os.path.basename(p))[0]: np.asarray(Image.open(p).convert("RGB")) for p in paths}
    for path in paths:
        if os.path.splitext(os.path.basename(path))[0] in a.samples:
            shutil.copy(path, a.out)
    curve = jpeg_curve(pictures)
    rows = {script: measure(script, pictures, a.samples, a.out) for script in a.scripts}
    summaries = [summary(script, rows[script], curve) for script in a.scripts]
    with open(os.path.join(a.out, "results.json"), "w", encoding="utf-8") as file:
        json.dump({"models": summaries, "jpeg": curve, "pictures": rows}, file, indent=1)
    plot(summaries, curve, os.path.join(a.out, "kodak.png"))
    for s in summaries:
        print(f"{s['script']:11} {s['bpp']:.4f} bpp  {s['psnr']:.3f} dB (JPEG {s['jpeg_psnr_at_this_bpp']:.3f})  "
              f"MS-SSIM {s['ms_ssim']:.4f}  bytes over estimate {100 * s['bytes_over_estimate']:+.2f} %")


if __name__ == "__main__":
    main()
