"""What RunInference is handed: batches of inputs, of which bad ones take no other with them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lic import bitstream, images, metrics
from lic.corpus.handlers import Compressor, Decompressor, Failed, Made, in_company
from lic.errors import DataError

ID = b"\1\2\3\4"
START = bitstream.prefix(bitstream.Arithmetic.PORTABLE, 0x14, 0, ID)


class Fake:
    """A codec whose files hold the sum of a picture's samples; it notes the size of each batch."""

    weights_id = ID.hex()

    def __init__(self, at_once: int = 2):
        self.at_once, self.batches = lambda height, width: at_once, []

    def compress_pixels(self, pixels, quality=None):
        record = bitstream.Record(0, (quality or 0,), (str(pixels.sum()).encode(),), 0)
        return bitstream.build(START, pixels.shape[1], pixels.shape[0], [record])

    def compress_batch(self, pictures, quality=None):
        self.batches.append(len(pictures))
        return [self.compress_pixels(pixels, quality) for pixels in pictures]

    def decompress(self, data):
        header, (record,) = bitstream.parse(data)
        return np.full((header.height, header.width, 3), int(record.strings[0]) % 256, np.uint8)

    def decompress_batch(self, files):
        self.batches.append(len(files))
        return [self.decompress(data) for data in files]


@pytest.fixture
def pictures(picture) -> list[np.ndarray]:
    """Three of one size, and one of another between them."""
    three, (other,) = picture(50, 70, 3).astype(np.uint8), picture(40, 30).astype(np.uint8)
    return [three[0], other, three[1], three[2]]


@pytest.mark.parametrize(("at_once", "batches"), [(0, []), (1, []), (2, [2]), (3, [3]), (9, [3])])
def test_pictures_of_one_size_are_compressed_side_by_side_as_far_as_they_fit(at_once, batches, pictures):
    codec = Fake(at_once)
    made = Compressor("lsk2023", quality=7).run_inference(pictures, codec)
    assert [one.data for one in made] == [codec.compress_pixels(pixels, 7) for pixels in pictures]
    assert codec.batches == batches
    assert [(one.facts["width"], one.facts["height"]) for one in made] == [(70, 50), (30, 40), (70, 50), (70, 50)]
    assert made[1].facts["bpp"] == round(len(made[1].data) * 8 / (40 * 30), 6) and "psnr" not in made[1].facts


def test_measuring_adds_the_psnr_of_what_is_decoded(pictures):
    codec = Fake()
    (made,) = Compressor("lsk2023", measure=True).run_inference(pictures[:1], codec)
    assert made.facts["psnr"] == round(metrics.psnr(pictures[0], codec.decompress(made.data)), 4)


def test_files_of_one_kind_are_decompressed_side_by_side_and_broken_ones_take_no_other_with_them(pictures, monkeypatch):
    codec = Fake(3)
    known = SimpleNamespace(that_made=lambda header: codec)
    files = [codec.compress_pixels(pixels) for pixels in pictures]
    made = Decompressor().run_inference([files[0], files[1], b"text", *files[2:]], known)
    assert [type(one) for one in made] == [Made, Made, Failed, Made, Made] and codec.batches == [3]
    assert [one.data for one in made if isinstance(one, Made)] == [
        images.encode_png(codec.decompress(data)) for data in files]
    assert "not a file of this codec" in made[2].reason

    broken = files[0][:-1] + bytes([files[0][-1] ^ 1])
    made = Decompressor().run_inference([files[0], broken, files[2]], known)
    assert [type(one) for one in made] == [Made, Failed, Made] and "checksum" in made[1].reason


def test_file_of_an_unknown_model_says_how_to_make_it_known(pictures):
    handler = Decompressor()
    (failed,) = handler.run_inference([Fake().compress_pixels(pictures[0])], handler.load_model())
    assert failed.reason.endswith("of lsk2023 tiny, which is not bundled: give its folder with --model")


def test_bad_input_fails_alone_and_the_order_stays():
    tried = []

    def work(group):
        tried.append(list(group))
        if "bad" in group:
            raise DataError("this is bad")
        return [Made(one.encode(), {}) for one in group]

    outcomes = in_company(["a", "bb", "bad", "dd", "sea"], len, work)
    assert outcomes == [Made(b"a", {}), Made(b"bb", {}), Failed("this is bad"), Made(b"dd", {}), Made(b"sea", {})]
    assert tried == [["a"], ["bb", "dd"], ["bad", "sea"], ["bad"], ["sea"]]
