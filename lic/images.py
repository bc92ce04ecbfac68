"""Any picture file <-> uint8 RGB of shape (h, w, 3), samples 0..255 in sRGB.

    file ── open ── load ── samples ── colour ── alpha ──── orientation ── Picture(pixels, notes)
                            to 8 bits  to sRGB   on white   from EXIF

What 8 bits of sRGB cannot hold (transparency, 16 bits, a wide gamut, further frames) is said in `notes`.
Whatever Pillow raises or warns on the way ends as one DataError or as nothing at all.

Gotchas:
* an ICC profile that moves no colour of a grid by more than 2 steps counts as sRGB, and no pixel is changed;
* Pillow hands out only the upper 8 bits of 16-bit RGB; 16-bit grey is divided by 257 and rounded;
* Pillow does not notice damage within a JPEG or TIFF that leaves its structure whole, so neither does `read`; of sides
  that lie there, only absurd ones are refused.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import Base

from lic import png, stderr
from lic.errors import DataError, UsageError
from lic.files import PathLike, read_bytes, shown, write_atomically

MAX_PIXELS = 300_000_000  # some 3 GB of memory while it is read
TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} megapixels are larger than this codec decodes at once"

# Only formats that know themselves by their first bytes, and that no external program has to open (as EPS).
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "QOI")

_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}

_LONGEST_SIDE = {"WEBP": 16383, "JPEG": 65500}  # libjpeg would say so on stderr

# Of a mode, as an ICC profile names it.
_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_SRGB_TOLERANCE = 2  # steps of 0..255: makers of sRGB profiles round its curve differently

# The table of round(v / 257): 65535 becomes 255 and nothing is clipped.
_EIGHT_OF_SIXTEEN = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)
_EIGHT_OF_SIXTEEN.flags.writeable = False

_LOCK = threading.Lock()  # Pillow's limit and Python's warning filters belong to the process


@dataclass(frozen=True, eq=False)
class Picture:
    """`pixels`: uint8 (h, w, 3), sRGB 0..255. `notes`: a line for each thing that could not be kept."""

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def read(path: PathLike) -> Picture:
    """Reads a picture file of any kind that Pillow knows by its first bytes, 1x1 to 300 megapixels.

    Raises DataError where there is no such file, or it is no picture, broken, truncated or too big.
    """
    return from_bytes(read_bytes(path), path)


def from_bytes(data: bytes, name: PathLike) -> Picture:
    """Reads the bytes of such a file. Raises DataError, which calls it by this name, where they are none."""
    with _naming(shown(name)):
        image, notes = _open(data)
        picture = from_pil(image)
        if image.format == "PNG" and png.lacks_rows(data):
            raise DataError("broken or truncated picture (rows are missing); get a whole copy of it")
    return Picture(picture.pixels, notes + picture.notes)


def size_of(path: PathLike) -> tuple[int, int]:
    """Height and width of a picture file as its header says, without EXIF orientation. Raises DataError as `read`."""
    data = read_bytes(path)
    with _naming(shown(path)):
        image, _ = _open(data)
    return image.height, image.width


def size_told_by(start: bytes, formats: Collection[str] = _READABLE) -> tuple[int, int] | None:
    """(height, width) as far as a file's beginning tells, before it is turned upright; None where it does not.

    Args:
      formats: of what kinds it may be, as Pillow names them.
    """
    try:
        with _quiet_pillow(most=None):   # whoever asks has a limit of his own
            Image.init()
            image = Image.open(io.BytesIO(start), formats=[name for name in _known() if name in formats])
            return image.height, image.width
    except Exception:  # every plugin has its own, and `from_bytes` says it better
        return None


def from_pil(image: Image.Image) -> Picture:
    """Turns a Pillow image of any mode into a Picture. Raises DataError where that cannot be done."""
    with _one_line_for_all():
        _check_size(*image.size)
        notes: list[str] = []
        _load(image, notes)
        orientation = _orientation(image, notes)
        colour, alpha = _split(image, notes)
        colour = _to_srgb(colour, image.info.get("icc_profile"), notes)
        if alpha is not None and alpha.getextrema() != (255, 255):
            notes.append("transparency: laid over white")
            white = Image.new("RGB", image.size, "white")
            white.paste(colour, mask=alpha)
            colour = white
        pixels = _upright(np.asarray(colour), orientation)
    return Picture(np.ascontiguousarray(pixels), tuple(notes))


def of(picture: object) -> Picture:
    """Takes a Pillow image or an array. Raises DataError for anything else, and as `from_pil` and `from_array`."""
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    if not isinstance(picture, Image.Image):
        raise DataError(f"a picture is a PIL image or an array of uint8, not {type(picture).__name__}: open a "
                        "file with PIL.Image.open")
    return from_pil(picture)


def from_array(array: np.ndarray) -> Picture:
    """Takes uint8 (h, w, 3), (h, w, 4) with alpha, (h, w, 1) or (h, w) grey. Raises DataError otherwise."""
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise DataError(f"a picture has samples of uint8, not {array.dtype}: scale them to 0..255 (0..1 times 255, 16 "
                        "bits divided by 257), and round them")
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise DataError(f"a picture is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), not {array.shape}")
    _check_size(array.shape[1], array.shape[0])
    if array.shape[2] == 4:
        return from_pil(Image.fromarray(array))
    return Picture(np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3))))


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of uint8 (h, w, 3). Raises DataError for another dtype or shape."""
    return encode(pixels, ".png")


def encode(pixels: np.ndarray, suffix: str) -> bytes:
    """The bytes of a picture file of uint8 (h, w, 3); lossless, but for .jpg (quality 95, 4:4:4).

    Raises UsageError for a suffix that cannot be written, DataError for pixels that are no picture or that
    the format cannot hold (WebP ends at 16383 pixels a side, JPEG at 65500).
    """
    check_suffix(suffix)
    kind, options = _WRITERS[suffix.lower()]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        what = f"{pixels.dtype} of {pixels.shape}"
        raise DataError(f"pixels to write are uint8 (h, w, 3), not {what}; use from_array")
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    if max(pixels.shape) > _LONGEST_SIDE.get(kind, max(pixels.shape)):
        raise DataError(f"{kind} holds up to {_LONGEST_SIDE[kind]} pixels a side, not {size}; write .png")
    buffer = io.BytesIO()
    try:
        with _quiet_pillow():
            Image.init()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    except Exception as error:  # every plugin has its own
        raise DataError(f"{size} pixels cannot be written as {kind} ({_line(error)}); write .png") from None
    return buffer.getvalue()


def check_suffix(suffix: str) -> None:
    """Raises UsageError where no picture can be written with this suffix (`.png`; upper case too)."""
    if not suffix:
        raise UsageError(f"a picture's name ends in what says its format; use one of {' '.join(_WRITERS)}")
    if suffix.lower() not in _WRITERS:
        raise UsageError(f"cannot write a picture as '{_line(suffix)}'; use one of {' '.join(_WRITERS)}")


def write(path: PathLike, pixels: np.ndarray) -> None:
    """Writes uint8 (h, w, 3) in the format that the suffix names, whole or not at all. Raises as `encode`."""
    write_atomically(path, encode(pixels, os.path.splitext(os.fspath(path))[1]))


def _open(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    with _one_line_for_all(), _quiet_pillow():
        Image.init()  # so that OPEN holds all formats of this Pillow; older ones lack some
        formats = _known()
        image = Image.open(io.BytesIO(data), formats=formats)
        _check_claim(image, len(data))
        several = _has_frames(data, formats)
    return image, ("several pictures in one file: only the first is kept",) if several else ()


def _known() -> list[str]:
    return [name for name in _READABLE if name in Image.OPEN]


def _check_claim(image: Image.Image, length: int) -> None:
    # Other formats miss what isn't there; libjpeg fills it with grey, gigabytes of it where a header lies.
    width, height = image.size
    if image.format == "JPEG" and 8 * length < width * height / 64:  # a block of 8x8 takes more than a bit
        raise DataError(f"broken picture ({width}x{height} pixels can't be in {length} bytes); get a whole copy of it")


def _has_frames(data: bytes, formats: list[str]) -> bool:
    # A second image, since looking for a further frame moves the file, and a broken second frame is no harm.
    try:
        return bool(getattr(Image.open(io.BytesIO(data), formats=formats), "is_animated", False))
    except Exception:  # every plugin has its own
        return False


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise DataError("a picture without pixels; give one of at least 1x1")
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise DataError(f"{width}x{height} pixels are more than {limit} megapixels; cut it into parts")


def _load(image: Image.Image, notes: list[str]) -> None:
    if _is_cut_to_eight_bits(image):
        notes.append("16 bits a sample: only the upper 8 are kept")
        _cut_transparent_colour(image)
    if image.format == "TIFF":
        _check_strips(image)
        with _quiet_pillow(), stderr.silent():   # libtiff complains straight to file descriptor 2
            image.load()
    else:
        image.load()  # these do not warn, and may run side by side in threads


def _check_strips(image: Image.Image) -> None:
    # Pillow leaves black what no strip and no tile of a TIFF covers.
    boxes = [tile[1] for tile in getattr(image, "tile", [])]
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if boxes and covered < image.width * image.height:
        raise DataError("broken or truncated picture (strips are missing); get a whole copy of it")


def _is_cut_to_eight_bits(image: Image.Image) -> bool:
    """Whether the file has 16 bits of which Pillow's mode has room for 8 (only known before `load`)."""
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return False
    tiles = getattr(image, "tile", [])  # (decoder, box, offset, arguments); an argument is the raw mode
    if image.format == "PPM":
        return any(tile[0] == "ppm" and tile[3][1] > 255 for tile in tiles)
    return any(";16" in str(tile[3]) for tile in tiles)


def _cut_transparent_colour(image: Image.Image) -> None:
    # PNG names the transparent colour in 16 bits, Pillow compares it with the upper 8 bits of the samples.
    colour = image.info.get("transparency")
    if isinstance(colour, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _orientation(image: Image.Image, notes: list[str]) -> int:
    if image.format == "TIFF":
        return 1  # Pillow has applied it on loading, though older ones still tell it
    try:
        with _quiet_pillow():
            return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # foreign data, and a picture can do without it
        notes.append("broken EXIF: ignored, the picture may stand on its side")
        return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Applies the EXIF orientation 1..8; any other value is no orientation."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _split(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Colour as L, RGB, CMYK or LAB of 8 bits, and alpha as L where the image has any."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_sixteen_bits(image, notes)
    if image.mode == "I":
        raise DataError("32-bit or signed integer samples have no agreed white; convert it to 8 or 16 bits")
    if image.mode == "F":
        return _from_floats(image, notes), None
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert(image.mode.upper())
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("P", "PA", "RGBA") or "transparency" in image.info:
        grey = image.mode in ("1", "L")
        rgba = image.convert("RGBA")
        return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _from_sixteen_bits(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    samples = np.asarray(image)
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0:
        samples = 65535 - samples  # white is zero; Pillow sees to that with 8 bits only
    notes.append("16 bits a sample: rounded to 8")
    colour = Image.fromarray(_EIGHT_OF_SIXTEEN[samples])
    transparent = image.info.get("transparency")
    if transparent is None:
        return colour, None
    return colour, Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8))


def _from_floats(image: Image.Image, notes: list[str]) -> Image.Image:
    samples = np.asarray(image)
    if not (samples.min() >= 0 and samples.max() <= 1):  # also false for NaN
        raise DataError("float samples outside 0..1 have no agreed white; scale them to 0..1")
    notes.append("float samples, taken as black 0 to white 1: rounded to 8 bits")
    return Image.fromarray((samples * 255 + 0.5).astype(np.uint8))


def _to_srgb(colour: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    if icc:
        try:
            return _by_profile(colour, icc, notes)
        except Exception as error:  # foreign data, and a picture can do without it
            notes.append(f"ICC profile ignored: {_line(error)}")
    if colour.mode == "CMYK":
        notes.append("CMYK without a usable ICC profile: colours are approximate")
    if colour.mode == "LAB":
        notes.append("CIELAB: converted to sRGB")
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return _applied(ImageCms.buildTransform(lab, srgb, "LAB", "RGB"), colour)
    return colour.convert("RGB")


def _by_profile(colour: Image.Image, icc: bytes, notes: list[str]) -> Image.Image:
    profile = ImageCms.getOpenProfile(io.BytesIO(icc))
    space = profile.profile.xcolor_space.strip()
    if space != _COLOUR_SPACES[colour.mode]:
        raise ValueError(f"it is for {space}, the picture is {_COLOUR_SPACES[colour.mode]}")
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), colour.mode, "RGB")
    if _keeps_colours(transform, colour.mode):
        return colour.convert("RGB")
    converted = _applied(transform, colour)
    notes.append(f"ICC profile '{_line(ImageCms.getProfileDescription(profile))}': converted to sRGB")
    return converted


def _keeps_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile is sRGB (or its grey) under whatever name: tried on a grid of colours."""
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[np.newaxis]
    elif mode == "RGB":
        levels = np.linspace(0, 255, 17).astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        grey = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, -1, 3)
        probe = np.concatenate([cube, grey], axis=1)
    else:
        return False
    image = Image.fromarray(probe)
    there, back = np.asarray(_applied(transform, image)), np.asarray(image.convert("RGB"))
    return int(np.abs(there.astype(int) - back).max()) <= _SRGB_TOLERANCE


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # None only where it works in place
    return result


@contextlib.contextmanager
def _quiet_pillow(most: int | None = MAX_PIXELS) -> Iterator[None]:
    """Pillow without warnings and with this limit of size; one thread at a time: both are process-wide."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, most
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None


@contextlib.contextmanager
def _one_line_for_all() -> Iterator[None]:
    """On a broken file Pillow raises OSError, SyntaxError, ValueError, KeyError, struct.error, ..."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(_READABLE)
        raise DataError(f"not a picture, or its header is broken; give one of {kinds}") from None
    except Image.DecompressionBombError:
        raise DataError(f"it has more than {MAX_PIXELS // 1_000_000} megapixels; cut it into parts") from None
    except MemoryError:
        raise DataError("it does not fit into memory; use a smaller picture") from None
    except Exception as error:
        raise DataError(f"broken or truncated picture ({_line(error)}); get a whole copy of it") from None


def _line(text: object) -> str:
    """One printable line of at most 100 characters, also of what a foreign file says."""
    words = " ".join(str(text).split()) or type(text).__name__
    return "".join(c for c in words if c.isprintable())[:100]
