"""Pillow opens and saves .tfci files as it does those of its own formats, errors among them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from lic import bitstream, images, loading, pillow_plugin
from lic.errors import UsageError

START = bitstream.prefix(bitstream.Arithmetic.PORTABLE, 0x14, 0, b"\1\2\3\4")
RECORDS = [bitstream.Record(0, (1, 2), (b"abc", b"de"), 3)]
STRANGER = bitstream.build(START, 100, 50, RECORDS)   # the file of a model that nobody has


class Fake:
    """A codec whose files stand for the picture that it was given last."""

    weights_id = "01020304"

    def compress_pixels(self, pixels, **options):
        self.pixels, self.options = pixels, options
        if options.get("quality") == 0:
            raise UsageError("the quality 0 is not within 1..100")
        return bitstream.build(START, pixels.shape[1], pixels.shape[0], RECORDS)

    def decompress(self, data):
        return self.pixels


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The codec of a model that Pillow knows for the length of a test: `fake.folder`."""
    codec, real = Fake(), loading.load
    codec.folder = tmp_path / "model"
    codec.folder.mkdir()
    (codec.folder / "model.json").write_text("{}")
    monkeypatch.setattr(loading, "load", lambda name, of: codec if name == str(codec.folder) else real(name, of))
    pillow_plugin.register(codec.folder)
    yield codec
    pillow_plugin.register()


@pytest.fixture
def photograph(picture) -> Image.Image:
    return Image.fromarray(picture(50, 70)[0].astype(np.uint8))


def saved_bytes(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "TFCI", **options)
    return buffer.getvalue()


def test_import_teaches_pillow_to_read_a_header_without_tensorflow(tmp_path, process):
    (tmp_path / "x.tfci").write_bytes(STRANGER)
    code = ("import sys, lic; from PIL import Image; picture = Image.open('x.tfci'); "
            "print(picture.format, picture.size, picture.mode, picture.get_format_mimetype(), "
            "'tensorflow' in sys.modules)")
    done = process("-c", code, cwd=tmp_path, PYTHONPATH=str(pillow_plugin.__file__).rsplit("lic", 1)[0])
    assert (done.out, done.err) == ("TFCI (100, 50) RGB image/x-tfci False\n", "")


def test_default_is_the_bundled_model_for_every_rate_which_its_files_lead_to(photograph, monkeypatch):
    loaded, real = [], loading.load
    monkeypatch.setattr(loading, "load", lambda *of: loaded.append(real(*of)) or loaded[-1])
    small, large = (saved_bytes(photograph, quality=quality) for quality in (10, 90))
    assert bitstream.head(large).quality == 90 and len(small) < len(large)
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (small, large)]
    (codec,) = loaded
    assert large == codec.compress(photograph, quality=90) and np.array_equal(pixels[1], codec.decompress(large))
    errors = [np.abs(np.asarray(photograph, float) - of).mean() for of in pixels]
    assert errors[1] < errors[0] < 20


def test_picture_goes_to_the_model_that_is_named_and_comes_back_by_its_file(fake, photograph, tmp_path):
    photograph.save(tmp_path / "x.tfci", model=fake.folder, quality=30, tile=128, verify=True)
    assert fake.options == {"quality": 30, "tile": 128, "verify": True}
    with Image.open(tmp_path / "x.tfci") as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(photograph))
        opened.putpixel((0, 0), (1, 2, 3))
        assert opened.getpixel((0, 0)) == (1, 2, 3)
    assert fake.pixels[0, 0].tolist() != [1, 2, 3]


def sixteen_bits(grey: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(grey).astype(np.uint16) * 200)


@pytest.mark.parametrize(("convert", "warning"), [
    (lambda p: p.convert("L"), None), (lambda p: p.convert("1"), None), (lambda p: p.convert("P"), None),
    (lambda p: p.convert("CMYK"), "approximate"), (lambda p: sixteen_bits(p.convert("L")), "rounded to 8"),
    (lambda p: Image.merge("RGBA", [*p.split(), p.getchannel(0)]), "laid over white")])
def test_other_modes_are_saved_as_the_command_line_does(convert, warning, fake, photograph, recwarn):
    converted = convert(photograph)
    data = saved_bytes(converted, model=fake.folder)
    assert np.array_equal(fake.pixels, images.from_pil(converted).pixels)
    assert Image.open(io.BytesIO(data)).mode == "RGB"
    said = [str(w.message) for w in recwarn if w.filename == __file__]
    assert len(said) == (warning is not None) and all(warning in line for line in said)


@pytest.mark.parametrize("data", [b"\x89PNG" + bytes(30), STRANGER[:17]])
def test_what_has_no_header_of_ours_is_not_identified(data):
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("data", "line"), [
    (bitstream.MAGIC + b"\7" + bytes(30), "made by a newer version"), (STRANGER[:9], "the file is truncated")])
def test_stump_or_file_of_another_version_is_not_identified_and_warned_of(data, line):
    with pytest.raises(UnidentifiedImageError), pytest.warns(UserWarning, match=line):
        Image.open(io.BytesIO(data))


def test_broken_file_opens_and_is_refused_in_one_line_when_it_is_loaded():
    broken = io.BytesIO(STRANGER[:-1] + b"\0")
    for step in (lambda picture: picture.load(), lambda picture: picture.verify()):
        picture = Image.open(broken)
        assert picture.size == (100, 50)
        with pytest.raises(OSError, match=r"^the file is damaged: its checksum does not match its contents$"):
            step(picture)
    Image.open(io.BytesIO(STRANGER)).verify()


def test_file_of_an_unknown_model_says_how_to_make_it_known():
    for _ in range(2):   # a picture that failed can be tried again
        with pytest.raises(OSError, match=r"by model 01020304 of lsk2023 tiny.*lic\.pillow_plugin\.register"):
            Image.open(io.BytesIO(STRANGER)).load()


@pytest.mark.parametrize(("options", "error", "line"), [
    ({"quality": 0}, ValueError, "the quality 0 is not within"),
    ({"model": "nowhere"}, OSError, "no model in 'nowhere'")])
def test_wrong_option_is_told_and_leaves_no_file(options, error, line, fake, photograph, tmp_path):
    with pytest.raises(error, match=line):
        photograph.save(tmp_path / "x.tfci", **{"model": fake.folder, **options})
    assert not (tmp_path / "x.tfci").exists()


def test_metadata_is_kept_but_for_the_orientation_that_the_pixels_have_taken(fake, photograph):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a place", 6
    opened = Image.open(io.BytesIO(saved_bytes(photograph, model=fake.folder, exif=exif, xmp=b"<x/>")))
    assert dict(opened.getexif()) == {0x010E: "a place"} and opened.info["xmp"] == b"<x/>"
    assert "icc_profile" not in opened.info and opened.load()
    with_profile = bitstream.build(START, 100, 50, RECORDS, None, [("ICCP", b"profile"), ("NOTE", b"?")])
    assert Image.open(io.BytesIO(with_profile)).info == {"icc_profile": b"profile"}
