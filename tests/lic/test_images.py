"""Pictures of every kind come in as sRGB of 8 bits; broken ones end in one line; nothing of Pillow leaks."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms

from lic import images
from lic.errors import DataError, UsageError

PILLOW = tuple(int(part) for part in PIL.__version__.split(".")[:2])
KINDS = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"quality": 90, "progressive": True}),
    "webp": ("WEBP", {"lossless": True}),
    "lossy.webp": ("WEBP", {"quality": 80}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "ppm": ("PPM", {}),
}


@pytest.fixture(autouse=True)
def silence(capfd):
    """No test of this file may leave a warning or a word on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(w.message) for w in caught if "deprecated" not in str(w.message)] == []
    assert capfd.readouterr().err == ""


def scene(h: int = 24, w: int = 32) -> np.ndarray:
    """Colours of all kinds, no two rows or columns alike, smooth enough for JPEG."""
    y, x = np.mgrid[:h, :w]
    return np.stack([255 * x / w, 255 * y / h, 128 + 100 * np.sin((x + 2 * y) / 9)], axis=-1).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def as_bytes(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_size_is_told_by_the_beginning_of_a_file_or_not_at_all():
    data = as_bytes(Image.fromarray(scene()), "PNG")
    assert images.size_told_by(data[:60]) == (24, 32)
    assert [images.size_told_by(start) for start in (b"", data[:20], b"text" * 20)] == [None] * 3
    assert images.size_told_by(data, ("PNG", "JPEG")) == (24, 32) and images.size_told_by(data, ("JPEG",)) is None


def test_size_is_told_of_what_is_larger_than_is_read():
    assert images.size_told_by(as_bytes(Image.new("1", (60_000, 20_000)), "PNG")) == (20_000, 60_000)


def refusal(function, *arguments, error=DataError) -> str:
    """The one line of the error that this call must raise."""
    with pytest.raises(error) as caught:
        function(*arguments)
    text = str(caught.value)
    assert text.isprintable()
    return text


def png(colour_type: int, depth: int, samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand, for what Pillow cannot write; samples: (h, w) or (h, w, channels)."""
    h, w = samples.shape[:2]
    rows = samples.astype(">u2" if depth == 16 else "u1")
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", w, h, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def tiff(samples: np.ndarray, photometric: int, sample_format: int = 1) -> bytes:
    """A TIFF file by hand, uncompressed and little-endian; samples: (h, w) or (h, w, channels)."""
    h, w = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    bits_at = 8 + len(data)
    bits = struct.pack(f"<{channels}H", *[8 * samples.dtype.itemsize] * channels)
    bits_value = int.from_bytes(bits, "little") if len(bits) <= 4 else bits_at
    tags = [
        (256, 4, 1, w), (257, 4, 1, h), (258, 3, channels, bits_value), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels),
        (278, 4, 1, h), (279, 4, 1, len(data)), (339, 3, 1, sample_format),
    ]  # fmt: skip
    if channels > 1:
        tags.pop()  # one value a channel would be due
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", bits_at + len(bits)) + data + bits + directory


def icc(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2.1) by hand."""
    name = b"made by a test\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": white, **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for signature, tag in tags.items():
        table += signature + struct.pack(">II", start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    header = struct.pack(">I4xI4s4s4s12s4s", start + len(body), 0x02100000, b"mntr", space, connection,
                         struct.pack(">6H", 2024, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    header = (header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0")
    return header + struct.pack(">I", len(tags)) + table + body


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def rgb_profile(gamma: float = 1.8) -> bytes:
    """Wide primaries (those of ProPhoto) and another gamma than sRGB's."""
    columns = {b"r": (0.7977, 0.2880, 0.0), b"g": (0.1352, 0.7119, 0.0), b"b": (0.0313, 0.0001, 0.8249)}
    tags = {}
    for name, xyz in columns.items():
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in xyz))
        tags[name + b"TRC"] = gamma_curve(gamma)
    return icc(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc(b"GRAY", b"XYZ ", {b"kTRC": gamma_curve(gamma)})


def cmyk_profile() -> bytes:
    """A press whose cyan ink prints red; the other inks darken."""
    corners = []
    for ink in range(16):  # cyan is the highest bit
        lightness = 255 >> bin(ink).count("1")
        corners += [lightness, 200 if ink & 8 else 128, 170 if ink & 8 else 128]
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    return icc(b"CMYK", b"Lab ", {b"A2B0": b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
                                  + ramp * 4 + bytes(corners) + ramp * 3})  # fmt: skip


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# What every file goes through.


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "lzw.tif", "bmp", "ppm"])
def test_a_lossless_file_comes_back_bit_for_bit(tmp_path, suffix):
    kind, options = KINDS[suffix]
    path = saved(tmp_path / "a", Image.fromarray(scene()), format=kind, **options)
    picture = images.read(path)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, scene())
    assert picture.notes == ()


@pytest.mark.parametrize("suffix", ["jpg", "progressive.jpg", "lossy.webp"])
def test_a_lossy_file_comes_back_close(tmp_path, suffix):
    kind, options = KINDS[suffix]
    picture = images.read(saved(tmp_path / "a", Image.fromarray(scene()), format=kind, **options))
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 6
    assert picture.notes == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_any_size_from_one_pixel_comes_in(tmp_path, size):
    pixels = scene(*size)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(images.read(path).pixels, pixels)


def test_the_suffix_of_a_file_does_not_matter(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(scene()), format="PNG")
    np.testing.assert_array_equal(images.read(str(path)).pixels, scene())


def test_pictures_are_read_in_many_threads(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(scene()))
    with ThreadPoolExecutor(8) as pool:
        for picture in pool.map(images.read, [path] * 40):
            np.testing.assert_array_equal(picture.pixels, scene())


# Grey, palettes, bits.


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = scene()[..., 0]
    for name in ("a.png", "a.tif", "a.bmp"):
        picture = images.read(saved(tmp_path / name, Image.fromarray(grey)))
        np.testing.assert_array_equal(picture.pixels, np.stack([grey] * 3, axis=-1))
        assert picture.notes == ()


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = scene()[..., 0] > 127
    for name in ("a.png", "a.tif", "a.bmp"):
        picture = images.read(saved(tmp_path / name, Image.fromarray(bits)))
        np.testing.assert_array_equal(picture.pixels[..., 1], np.where(bits, 255, 0))
        assert picture.notes == ()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_becomes_its_colours(tmp_path, kind):
    palette = Image.fromarray(scene()).quantize(16)
    picture = images.read(saved(tmp_path / "a", palette, format=kind))
    np.testing.assert_array_equal(picture.pixels, np.asarray(palette.convert("RGB")))
    assert picture.notes == ()


@pytest.mark.parametrize("suffix", ["png", "tif", "lzw.tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, suffix):
    kind, options = KINDS[suffix]
    samples = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    picture = images.read(saved(tmp_path / "a", Image.fromarray(samples), format=kind, **options))
    assert picture.pixels[0, :, 2].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert picture.notes == ("16 bits a sample: rounded to 8",)


def test_sixteen_bit_grey_of_netpbm_is_scaled(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32768, 65535))
    picture = images.read(tmp_path / "a.pgm")
    assert picture.pixels[0, :, 0].tolist() == [0, 128, 255]
    assert "16 bits" in picture.notes[0]


def test_sixteen_bit_grey_of_either_byte_order_is_the_same():
    samples = np.array([[1, 300, 40_000]], np.uint16)
    little = Image.frombytes("I;16", (3, 1), samples.astype("<u2").tobytes())
    big = Image.frombytes("I;16B", (3, 1), samples.astype(">u2").tobytes())
    for image in (little, big):
        assert images.from_pil(image).pixels[0, :, 0].tolist() == [0, 1, 156]


@pytest.mark.skipif(PILLOW < (9, 3), reason="this Pillow refuses such a file")
def test_sixteen_bit_grey_with_white_zero_is_turned_round(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[0, 65535, 16384]], np.uint16), photometric=0))
    assert images.read(tmp_path / "a.tif").pixels[0, :, 0].tolist() == [255, 0, 191]


def test_sixteen_bit_colour_keeps_its_upper_bits_and_says_so(tmp_path):
    samples = np.array([[[0, 65535, 0x1234], [0x80FF, 0x7F00, 255]]], np.uint16)
    (tmp_path / "a.png").write_bytes(png(2, 16, samples))
    (tmp_path / "a.tif").write_bytes(tiff(samples, photometric=2))
    for name in ("a.png", "a.tif"):
        picture = images.read(tmp_path / name)
        np.testing.assert_array_equal(picture.pixels, samples >> 8)
        assert picture.notes == ("16 bits a sample: only the upper 8 are kept",)


def test_sixteen_bit_colour_of_netpbm_is_said(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 65535\n" + struct.pack(">3H", 0, 32768, 65535))
    picture = images.read(tmp_path / "a.ppm")
    assert picture.pixels[0, 0].tolist() == [0, 128, 255]
    assert "16 bits" in picture.notes[0]


def test_floats_from_zero_to_one_are_scaled_and_said(tmp_path):
    samples = np.array([[0, 0.5, 1]], np.float32)
    picture = images.read(saved(tmp_path / "a.tif", Image.fromarray(samples)))
    assert picture.pixels[0, :, 0].tolist() == [0, 128, 255]
    assert "float" in picture.notes[0]


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, float("nan"), float("inf")])
def test_floats_outside_are_refused(tmp_path, value):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[0.5, value]], np.float32)))
    assert "0..1" in refusal(images.read, path)


def test_integers_without_an_agreed_white_are_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[1, 2**20]], np.int32)))
    assert "convert it to 8 or 16 bits" in refusal(images.read, path)
    (tmp_path / "signed.tif").write_bytes(tiff(np.array([[-5, 5]], np.int16), photometric=1, sample_format=2))
    assert "signed" in refusal(images.read, tmp_path / "signed.tif")


# Transparency.


def rgba(alpha) -> Image.Image:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[..., :3] = (200, 100, 0)
    pixels[..., 3] = alpha
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white_and_said(tmp_path, kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = images.read(saved(tmp_path / "a", rgba([255, 51, 0]), format=kind, **options))
    assert picture.pixels[0].tolist() == [[200, 100, 0], [244, 224, 204], [255, 255, 255]]
    assert picture.notes == ("transparency: laid over white",)


def test_opaque_alpha_is_dropped_in_silence(tmp_path):
    opaque = rgba(255)
    for image in (opaque, opaque.convert("LA")):
        picture = images.read(saved(tmp_path / "a.png", image))
        np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
        assert picture.notes == ()


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    image = Image.fromarray(np.array([[0, 0, 0]], np.uint8))
    image.putalpha(Image.fromarray(np.array([[255, 128, 0]], np.uint8)))
    picture = images.read(saved(tmp_path / "a.png", image))
    assert picture.pixels[0, :, 0].tolist() == [0, 127, 255]
    assert len(picture.notes) == 1


def test_a_transparent_colour_is_laid_over_white(tmp_path):
    grey, colour = np.array([[7, 8]], np.uint16), np.array([[[7, 7, 7], [8, 7, 7]]], np.uint16)
    files = {
        "grey": png(0, 8, grey, (b"tRNS", struct.pack(">H", 7))),
        "colour": png(2, 8, colour, (b"tRNS", struct.pack(">3H", 7, 7, 7))),
        "bits": png(0, 1, np.array([[0x40]], np.uint8), (b"tRNS", struct.pack(">H", 0))),  # one pixel: 0
        "deep grey": png(0, 16, grey * 257, (b"tRNS", struct.pack(">H", 7 * 257))),
        "deep colour": png(2, 16, colour * 256 + 3, (b"tRNS", struct.pack(">3H", *[7 * 256 + 3] * 3))),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        picture = images.read(tmp_path / name)
        assert picture.pixels[0, 0].tolist() == [255] * 3, name
        assert picture.pixels[0, 1:, 0].tolist() in ([], [8]), name
        assert picture.notes[-1] == "transparency: laid over white", name


def test_a_palette_with_transparency_is_laid_over_white(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    palette.putpalette([0, 0, 0, 200, 100, 0, 9, 9, 9])
    one = images.read(saved(tmp_path / "a.gif", palette, transparency=0))
    assert one.pixels[0].tolist() == [[255] * 3, [200, 100, 0], [9, 9, 9]]
    several = images.read(saved(tmp_path / "a.png", palette, transparency=bytes([0, 51])))
    assert several.pixels[0].tolist() == [[255] * 3, [244, 224, 204], [9, 9, 9]]
    assert one.notes == several.notes == ("transparency: laid over white",)


def test_a_transparent_palette_entry_that_no_pixel_has_is_no_transparency(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([0, 0, 0, 200, 100, 0, 9, 9, 9])
    assert images.read(saved(tmp_path / "a.png", palette, transparency=2)).notes == ()


def test_premultiplied_alpha_is_laid_over_white():
    picture = images.from_pil(rgba([255, 51, 0]).convert("RGBa"))
    off = picture.pixels[0].astype(int) - [[200, 100, 0], [244, 224, 204], [255, 255, 255]]
    assert np.abs(off).max() <= 1
    grey = rgba([255, 51, 0]).convert("LA")
    over_white = images.from_pil(grey).pixels.astype(int)
    assert np.abs(images.from_pil(grey.convert("La")).pixels - over_white).max() <= 1


def test_a_palette_with_an_alpha_channel_is_laid_over_white():
    image = Image.new("PA", (3, 1))
    image.putpalette([200, 100, 0])
    image.putalpha(rgba([255, 51, 0]).getchannel("A"))
    picture = images.from_pil(image)
    assert picture.pixels[0].tolist() == [[200, 100, 0], [244, 224, 204], [255, 255, 255]]
    assert picture.notes == ("transparency: laid over white",)


# Colour.


def test_ycbcr_becomes_rgb(tmp_path):
    image = Image.fromarray(scene()).convert("YCbCr")
    pictures = [images.from_pil(image)]
    if PILLOW >= (13,):  # 12, which Beam holds it at, cannot read what it writes here
        pictures.append(images.read(saved(tmp_path / "a.tif", image)))
    for picture in pictures:
        assert np.abs(picture.pixels.astype(int) - scene()).max() <= 3
        assert picture.notes == ()


def test_hsv_becomes_rgb():
    hsv = Image.fromarray(scene()).convert("HSV")
    np.testing.assert_array_equal(images.from_pil(hsv).pixels, np.asarray(hsv.convert("RGB")))


def test_cielab_becomes_srgb_and_is_said(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    colours = np.clip(scene(), 40, 215)
    image = ImageCms.profileToProfile(Image.fromarray(colours), srgb, lab, outputMode="LAB")
    image.info.clear()  # newer versions of Pillow add the profile of Lab
    picture = images.read(saved(tmp_path / "a.tif", image))
    off = np.abs(picture.pixels.astype(int) - colours)
    assert off.max() <= 16  # 8 bits of Lab are coarse
    assert off.mean() <= 1.5
    assert picture.notes == ("CIELAB: converted to sRGB",)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_becomes_rgb_and_is_said(tmp_path, kind):
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = images.read(saved(tmp_path / "a", cyan, format=kind))
    assert np.abs(picture.pixels[0, 0].astype(int) - (0, 255, 255)).max() <= 2
    assert picture.notes == ("CMYK without a usable ICC profile: colours are approximate",)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(tmp_path, kind):
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = images.read(saved(tmp_path / "a", cyan, format=kind, icc_profile=cmyk_profile()))
    red, green, blue = picture.pixels[0, 0].tolist()
    assert red > green + 50
    assert red > blue + 50
    assert picture.notes == ("ICC profile 'made by a test': converted to sRGB",)
    paper = Image.new("CMYK", (8, 8))
    picture = images.read(saved(tmp_path / "b", paper, format=kind, icc_profile=cmyk_profile()))
    assert picture.pixels.min() >= 253


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_an_srgb_profile_changes_no_pixel(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    kind, options = KINDS[suffix]
    path = saved(tmp_path / "a", Image.fromarray(noise), format=kind, icc_profile=srgb_profile(), **options)
    with Image.open(path) as image:
        assert image.info["icc_profile"]
    picture = images.read(path)
    np.testing.assert_array_equal(picture.pixels, noise)
    assert picture.notes == ()


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_another_profile_is_converted_and_said(tmp_path, suffix):
    kind, options = KINDS[suffix]
    colour = Image.new("RGB", (16, 16), (120, 100, 60))
    picture = images.read(saved(tmp_path / "a", colour, format=kind, icc_profile=rgb_profile(), **options))
    # By hand: linear = (v / 255)^1.8, ProPhoto to XYZ (D50) to linear sRGB, its curve.
    linear = (np.array([120, 100, 60]) / 255) ** 1.8
    xyz = np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0, 0, 0.8249]]) @ linear
    to_srgb = [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]
    expected = 255 * (1.055 * np.clip(to_srgb @ xyz, 0, 1) ** (1 / 2.4) - 0.055)
    assert np.abs(picture.pixels[3, 3] - expected).max() <= (8 if suffix == "jpg" else 1.5)
    assert abs(int(picture.pixels[3, 3, 0]) - 120) > 10
    assert picture.notes == ("ICC profile 'made by a test': converted to sRGB",)


def test_a_grey_profile_is_converted(tmp_path):
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    picture = images.read(saved(tmp_path / "a.png", ramp, icc_profile=grey_profile(1.0)))
    assert picture.pixels[0, 55].tolist() == pytest.approx([128] * 3, abs=2)  # linear light
    assert len(picture.notes) == 1


def test_a_palette_and_a_picture_with_alpha_are_converted_too(tmp_path):
    plain = Image.new("RGB", (4, 4), (120, 100, 60))
    plain.info["icc_profile"] = rgb_profile()
    colour = images.from_pil(plain).pixels[0, 0].tolist()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([120, 100, 60])
    picture = images.read(saved(tmp_path / "p.png", palette, icc_profile=rgb_profile()))
    assert picture.pixels[0, 0].tolist() == colour != [120, 100, 60]
    clear = Image.new("RGBA", (4, 4), (120, 100, 60, 255))
    clear.putpixel((1, 0), (120, 100, 60, 0))
    picture = images.read(saved(tmp_path / "a.png", clear, icc_profile=rgb_profile()))
    assert picture.pixels[0, :2].tolist() == [colour, [255, 255, 255]]
    assert len(picture.notes) == 2


@pytest.mark.parametrize("profile", [b"rubbish", rgb_profile()[:200], rgb_profile()[:128] + b"\xff" * 400])
def test_a_broken_profile_is_ignored_and_said(tmp_path, profile):
    picture = images.read(saved(tmp_path / "a.png", Image.fromarray(scene()), icc_profile=profile))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert len(picture.notes) == 1
    assert picture.notes[0].startswith("ICC profile ignored: ")
    assert picture.notes[0].isprintable()


def test_a_profile_of_another_colour_space_is_ignored_and_said(tmp_path):
    picture = images.read(saved(tmp_path / "a.png", Image.fromarray(scene()), icc_profile=grey_profile(1.0)))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert picture.notes == ("ICC profile ignored: it is for GRAY, the picture is RGB",)
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    picture = images.read(saved(tmp_path / "a.tif", cyan, icc_profile=rgb_profile()))
    assert picture.pixels[0, 0].tolist() == [0, 255, 255]
    assert len(picture.notes) == 2


# Orientation and frames.

UPRIGHT = {  # what the eight EXIF orientations ask for
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "lzw.tif"])
def test_the_exif_orientation_is_applied_once(tmp_path, suffix, orientation):
    kind, options = KINDS[suffix]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a", Image.fromarray(scene()), format=kind, exif=exif, **options)
    picture = images.read(path)
    plain = images.read(saved(tmp_path / "b", Image.fromarray(scene()), format=kind, **options))
    np.testing.assert_array_equal(picture.pixels, UPRIGHT[orientation](plain.pixels))
    assert picture.pixels.flags.c_contiguous
    assert picture.notes == ()


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0rubbish", b"Exif\0\0"])
def test_broken_exif_does_not_lose_the_picture(tmp_path, exif):
    picture = images.read(saved(tmp_path / "a.jpg", Image.fromarray(scene()), exif=exif))
    assert picture.pixels.shape == scene().shape


def test_an_orientation_that_is_no_number_is_ignored_and_said(tmp_path):
    entry = struct.pack(">HHHI", 1, 0x0112, 2, 4) + b"abc\0"
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + entry + bytes(4)
    picture = images.read(saved(tmp_path / "a.jpg", Image.fromarray(scene()), exif=exif))
    assert picture.pixels.shape == scene().shape
    assert picture.notes == ("broken EXIF: ignored, the picture may stand on its side",)


def test_an_orientation_that_does_not_exist_is_none(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 99
    path = saved(tmp_path / "a.png", Image.fromarray(scene()), exif=exif)
    np.testing.assert_array_equal(images.read(path).pixels, scene())


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames_is_taken_and_said(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = saved(tmp_path / "a", frames[0], format=kind, save_all=True, append_images=frames[1:], **options)
    picture = images.read(path)
    assert picture.pixels[4, 4].tolist() == [255, 0, 0]
    assert picture.notes == ("several pictures in one file: only the first is kept",)


# What is no picture, or a part of one.


@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_cut_anywhere_gives_one_line_or_the_whole_picture(tmp_path, suffix):
    kind, options = KINDS[suffix]
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    data = as_bytes(Image.fromarray(noise), kind, **options)
    path = tmp_path / "a"
    path.write_bytes(data)
    whole = images.read(path).pixels
    for length in [*range(1, len(data), max(1, len(data) // 60)), len(data) - 1]:
        path.write_bytes(data[:length])
        try:
            part = images.read(path)
        except DataError as error:
            assert str(error).isprintable()
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(part.pixels, whole)  # only an end mark was missing
            assert length > 0.95 * len(data)


def test_a_truncated_jpeg_gives_one_line_and_no_picture(tmp_path):
    data = as_bytes(Image.fromarray(scene(200, 300)), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    line = refusal(images.read, tmp_path / "a.jpg")
    assert "truncated" in line
    assert "a.jpg" in line


@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_with_wrong_bytes_gives_one_line_or_a_picture(tmp_path, suffix):
    kind, options = KINDS[suffix]
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind not in ("BMP", "GIF", "PPM"):
        options = {**options, "exif": exif, "icc_profile": rgb_profile()}
    data = np.frombuffer(as_bytes(Image.fromarray(scene()), kind, **options), np.uint8)
    random = np.random.default_rng(0)
    path = tmp_path / "a"
    for _ in range(60):
        spoiled = data.copy()
        spoiled[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
        spoiled[random.integers(0, min(200, len(data)))] ^= 1 << random.integers(0, 8)
        path.write_bytes(spoiled.tobytes())
        try:
            picture = images.read(path)
        except DataError as error:
            assert str(error).isprintable()
        else:
            assert picture.pixels.dtype == np.uint8
            assert all(note.isprintable() for note in picture.notes)


@pytest.mark.parametrize(
    "data",
    [b"x", b"hello, this is text\n" * 40, b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(5000), b"\xff\xd8\xff"],
)
def test_what_is_no_picture_is_one_line(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert "picture" in refusal(images.read, tmp_path / "a.png")


def test_a_missing_an_empty_file_and_a_directory_are_one_line(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    assert "no such file" in refusal(images.read, tmp_path / "missing.png")
    assert "empty" in refusal(images.read, tmp_path / "empty.png")
    assert "directory" in refusal(images.read, tmp_path)


def test_what_a_foreign_program_could_open_is_not_opened(tmp_path):
    path = saved(tmp_path / "a.eps", Image.fromarray(scene()), format="EPS")
    assert "not a picture" in refusal(images.read, path)


# Size.


def header_only(width: int, height: int) -> bytes:
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    data = struct.pack(">I", 13) + chunk + struct.pack(">II", zlib.crc32(chunk), 256) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("size", [(20_000, 15_001), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_over_300_megapixels_is_one_line(tmp_path, size):
    (tmp_path / "a.png").write_bytes(header_only(*size))
    assert "300 megapixels" in refusal(images.read, tmp_path / "a.png")


def test_a_big_picture_is_read_without_a_word_about_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow warns over this, and raises over twice this
    for kind in ("PNG", "GIF", "WEBP", "TIFF", "JPEG"):
        picture = images.read(saved(tmp_path / "a", Image.fromarray(scene()), format=kind))
        assert picture.pixels.shape == scene().shape
    assert Image.MAX_IMAGE_PIXELS == 10


def test_our_limit_holds_for_every_way_in(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 24 * 32 - 1)
    assert "megapixels" in refusal(images.from_array, scene())
    assert "megapixels" in refusal(images.from_pil, Image.fromarray(scene()))


# Arrays and Pillow images.


def test_arrays_of_one_three_and_four_channels_come_in():
    pixels = scene()
    np.testing.assert_array_equal(images.from_array(pixels).pixels, pixels)
    np.testing.assert_array_equal(images.from_array(pixels[:, ::-1]).pixels, pixels[:, ::-1])
    for grey in (pixels[..., 0], pixels[..., :1]):
        np.testing.assert_array_equal(images.from_array(grey).pixels, np.stack([pixels[..., 0]] * 3, axis=-1))
    clear = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=-1)
    picture = images.from_array(clear)
    assert picture.pixels.min() == 255
    assert picture.notes == ("transparency: laid over white",)
    assert images.from_array(pixels[:, ::-1]).pixels.flags.c_contiguous


@pytest.mark.parametrize(
    "array",
    [scene() / 255, scene().astype(np.uint16), scene() > 9, scene()[..., :2], scene()[None], scene()[:0]],
)
def test_other_arrays_are_refused_in_one_line(array):
    refusal(images.from_array, array)


def test_a_pillow_image_without_pixels_is_refused():
    assert "1x1" in refusal(images.from_pil, Image.new("RGB", (0, 5)))


def test_a_pillow_image_is_not_changed():
    image = rgba([255, 51, 0])
    before = image.tobytes()
    images.from_pil(image)
    assert image.tobytes() == before


# Writing.


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".bmp", ".PNG"])
def test_what_is_written_without_loss_is_read_bit_for_bit(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    images.write(path, noise)
    np.testing.assert_array_equal(images.read(path).pixels, noise)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), noise)
    assert os.listdir(tmp_path) == [path.name]


def test_a_jpeg_is_written_at_high_quality(tmp_path):
    for suffix in (".jpg", ".jpeg"):
        images.write(tmp_path / f"a{suffix}", scene())
        assert np.abs(images.read(tmp_path / f"a{suffix}").pixels.astype(int) - scene()).mean() < 2


def test_encode_png_is_a_png_file():
    image = Image.open(io.BytesIO(images.encode_png(scene()[::-1])))
    assert image.format == "PNG"
    np.testing.assert_array_equal(np.asarray(image), scene()[::-1])


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif", ".png"])
def test_an_unknown_suffix_lists_what_works_and_writes_nothing(tmp_path, name):
    line = refusal(images.write, tmp_path / name, scene(), error=UsageError)
    assert ".png .jpg .jpeg .webp .tif .tiff .bmp" in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_what_a_format_cannot_hold_is_one_line(tmp_path, suffix):
    wide = np.zeros((1, 70_000, 3), np.uint8)
    assert "write .png" in refusal(images.write, tmp_path / f"a{suffix}", wide)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("pixels", [scene() / 255.0, scene()[..., 0], scene()[..., :1], scene()[:0]])
def test_pixels_that_are_no_picture_are_not_encoded(pixels):
    assert "uint8 (h, w, 3)" in refusal(images.encode_png, pixels)


def test_a_missing_directory_is_one_line(tmp_path):
    line = refusal(images.write, tmp_path / "missing" / "a.png", scene())
    assert "missing" in line


def test_importing_pictures_files_and_metrics_does_not_import_tensorflow():
    code = "import sys, lic.images, lic.files, lic.metrics; sys.exit('tensorflow' in sys.modules)"
    root = Path(images.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
