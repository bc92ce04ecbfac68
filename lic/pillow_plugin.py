"""Pillow opens and saves .tfci files: `Image.open("x.tfci")`, `picture.save("x.tfci", quality=80)`.

`import lic` registers the format, as Pillow looks for no plugins by itself. Files of the bundled models are recognised;
those of another are after `register("folder of the model")`. `save` takes

    model                 name of a bundled model or folder of any; default: the bundled one for every rate
    quality               1..100, of a model for many rates
    effort, tile, verify  as `lic.codec.Codec.compress_pixels`
    exif, xmp             metadata to keep: an `Image.Exif` or bytes

Gotchas:
* `open` reads the header, `load` decodes, and only then TensorFlow comes up;
* a picture of another mode than RGB is saved as `compress` saves it; what that loses is warned of;
* `save` empties a file that is there before it asks this plugin, as with every format: what goes wrong then loses it;
* pixels are saved upright and in sRGB, so `exif` loses its orientation and there is no `icc_profile` to keep.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import IO, Any

from PIL import Image, ImageFile
from PIL.ExifTags import Base

from lic import bitstream, codecs
from lic.errors import DataError, UsageError

FORMAT, MIME = "TFCI", "image/x-tfci"

_INFO_OF_CHUNK = {"ICCP": "icc_profile", "EXIF": "exif", "XMP ": "xmp"}
_EXIF_START = b"Exif\0\0"   # of a JPEG segment, which Pillow puts before the block itself


def register(*folders: str) -> None:
    """Teaches Pillow the format; `folders` hold models, beside the bundled ones, whose files it is to open.

    Each call replaces what the last one said. That a folder holds no model is said when a file needs it.
    """
    models = codecs.Codecs(folders, "give its folder to lic.pillow_plugin.register")
    Image.register_open(FORMAT, functools.partial(_File, models), _accept)
    Image.register_save(FORMAT, functools.partial(_save, models))
    Image.register_extension(FORMAT, bitstream.SUFFIX)
    Image.register_mime(FORMAT, MIME)


def _accept(start: bytes) -> bool | str:
    """Whether a file begins as ours do; where ours is of another version, the line that Pillow warns with."""
    if not start.startswith(bitstream.MAGIC):
        return False
    try:
        bitstream.check_start(start)
    except DataError as error:
        return str(error)
    return True


class _File(ImageFile.ImageFile):
    """A picture whose pixels are decoded when they are asked for."""

    format = FORMAT
    format_description = "learned image compression"

    def __init__(self, models: codecs.Codecs, *arguments):
        self._models = models
        super().__init__(*arguments)

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            header = bitstream.head(self._data)
        except DataError as error:
            raise SyntaxError(str(error)) from None   # Pillow goes on to its other formats
        self._size, self._mode = (header.width, header.height), "RGB"
        for kind, data in header.chunks:
            if kind in _INFO_OF_CHUNK:
                self.info[_INFO_OF_CHUNK[kind]] = data

    def verify(self) -> None:
        """Raises OSError where the file's bytes are not those that were written; the symbols are not decoded."""
        with _errors_of_pillow(misuse=OSError):
            bitstream.parse(self._data)
        super().verify()

    def load(self):
        """Decodes. Raises OSError where the file is broken, or its model is not known."""
        if self._data:
            with _errors_of_pillow(misuse=OSError):
                header, _ = bitstream.parse(self._data)
                pixels = self._models.that_made(header).decompress(self._data)
            self.im, self._data = Image.fromarray(pixels).im, b""
            if self._exclusive_fp and self.fp:
                self.fp.close()
            self.fp = None
        return super().load()


def _save(models: codecs.Codecs, image: Image.Image, file: IO[bytes], _: str | bytes) -> None:
    """What `save` does. Raises ValueError for a wrong option, OSError where the picture or the model is unfit."""
    wanted: dict[str, Any] = image.encoderinfo
    with _errors_of_pillow(misuse=ValueError):
        from lic import images
        codec = models.named(str(wanted.get("model", codecs.DEFAULT)))
        picture = images.from_pil(image)
        options = {name: wanted[name] for name in ("quality", "effort", "tile", "verify") if name in wanted}
        data = _with_chunks(codec.compress_pixels(picture.pixels, **options), _chunks(wanted))
    for note in picture.notes:
        warnings.warn(note, stacklevel=3)   # at the line that calls `save`
    file.write(data)


def _chunks(wanted: dict[str, Any]) -> list[bitstream.Chunk]:
    found = {"EXIF": _exif(wanted.get("exif")), "XMP ": wanted.get("xmp")}
    return [(kind, data) for kind, data in found.items() if data]


def _exif(given: Image.Exif | bytes | None) -> bytes:
    """The block as it stands in a file, without an orientation."""
    exif = Image.Exif()
    exif.load(given.tobytes() if isinstance(given, Image.Exif) else given or b"")
    exif.pop(Base.Orientation, None)
    return exif.tobytes().removeprefix(_EXIF_START) if exif else b""


def _with_chunks(data: bytes, chunks: list[bitstream.Chunk]) -> bytes:
    if not chunks:
        return data
    header, records = bitstream.parse(data)
    return bitstream.build(header.prefix, header.width, header.height, records, header.tile, chunks)


@contextlib.contextmanager
def _errors_of_pillow(misuse: type[Exception]) -> Iterator[None]:
    """Our line under the kind of error that Pillow's own formats raise."""
    try:
        yield
    except DataError as error:
        raise OSError(str(error)) from None
    except UsageError as error:
        raise misuse(str(error)) from None
