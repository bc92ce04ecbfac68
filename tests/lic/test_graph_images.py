"""A SavedModel decodes pictures as the command line does: upright, and over white."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lic import graph_images, images

decode = tf.function(graph_images.decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 40, 4), np.uint8).repeat(2, 0).repeat(2, 1)


def stored(pixels: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def assert_read_alike(data: bytes) -> np.ndarray:
    pixels = decode(data).numpy()
    np.testing.assert_array_equal(pixels, images.from_bytes(data, "picture").pixels)
    return pixels


def exif(orientation: int, endian: str = "<") -> bytes:
    about = Image.Exif()
    about.endian = endian
    about[0x010F], about[0x0112], about[0x8769] = "maker", orientation, {0x9003: "2026:01:01 00:00:00"}
    return about.tobytes()


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_jpeg_is_turned_as_its_exif_says(orientation, endian, scene):
    pixels = assert_read_alike(stored(scene[..., :3], "JPEG", exif=exif(orientation, endian)))
    assert (pixels.shape[0] > pixels.shape[1]) == (5 <= orientation <= 8)


@pytest.mark.parametrize("cut", [b"Exif\0\0", b"Exif\0\0II", b"Exif\0\0MM\0\x2a\xff\xff\xff\xff",
                                 b"Exif\0\0II\x2a\0\x08\0\0\0\xff\xff", b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01"])
def test_broken_exif_turns_nothing(cut, scene):
    assert decode(stored(scene[..., :3], "JPEG", exif=cut)).shape == scene[..., :3].shape


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_lies_over_white(channels, scene):
    assert_read_alike(stored(scene[..., :channels].squeeze(), "PNG"))


@pytest.mark.parametrize("transparent", [None, 1])
@pytest.mark.parametrize("colours", [2, 8, 200])
def test_palette_lies_over_white_where_a_colour_of_it_is_transparent(colours, transparent, scene):
    image, buffer = Image.fromarray(scene[..., :3]).quantize(colours), io.BytesIO()
    image.save(buffer, "PNG", **({} if transparent is None else {"transparency": transparent}))
    white = (assert_read_alike(buffer.getvalue()) == 255).all(-1)
    assert transparent is None or white[np.asarray(image) == transparent].all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_transparent_colour_without_a_palette_is_white(mode, scene):
    buffer = io.BytesIO()
    colour = tuple(map(int, scene[0, 0, :3])) if mode == "RGB" else 0
    Image.fromarray(scene[..., :3]).convert(mode).save(buffer, "PNG", transparency=colour)
    assert_read_alike(buffer.getvalue())


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "JPEG"])
def test_plain_pictures_are_what_they_were(kind, scene):
    assert_read_alike(stored(scene[..., 0] if kind == "GIF" else scene[..., :3], kind))


def test_what_is_no_picture_is_refused():
    for data in (b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data)
