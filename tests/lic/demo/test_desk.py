"""What happens to a file that is dropped on the page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lic import bitstream, registry
from lic.bitstream import Arithmetic, Record
from lic.demo import desk
from lic.errors import DataError
from lic.evaluation.classical import CODECS


@pytest.fixture
def photo(tmp_path, picture):
    path = tmp_path / "photo.png"
    Image.fromarray(picture(170, 200)[0].astype(np.uint8)).save(path)
    return str(path)


def test_picture_is_compared_step_by_step_at_the_size_of_the_models_file(fake, photo):
    picture = desk.picture(photo)
    against = [CODECS["jpeg"], CODECS["webp"]]
    steps = [[p.row.codec for p in p.found] for p in desk.work(fake("lsk2023", "nano", "aa"), against, picture, None)]
    assert steps == [["lsk2023 nano"], ["lsk2023 nano", "JPEG"], ["lsk2023 nano", "JPEG", "WebP"]]
    assert picture.name == "photo.png" and picture.bits.shape == (11, 13)


def test_enlarged_part_is_where_the_bits_go_and_then_where_one_looks(fake, photo, monkeypatch):
    codec, picture, bits = fake("lsk2023", "nano", "aa"), desk.picture(photo), np.zeros((11, 13), np.float32)
    bits[9, 1] = 1
    monkeypatch.setattr(codec, "bits_map", lambda *_: bits)
    list(desk.work(codec, [], picture, None))
    rows, columns = picture.part
    assert rows.start <= 9 * 16 < rows.stop and columns.start <= 16 < columns.stop
    desk.look_at(picture, 180, 5)
    assert picture.part[0].start == 0 and picture.part[1].stop == 200
    list(desk.work(codec, [], picture, None))
    assert picture.part[1].stop == 200, "another quality leaves the eye where it is"


def test_model_that_has_no_map_enlarges_what_has_contrast(fake, photo, monkeypatch):
    codec, picture = fake("lsk2023", "nano", "aa"), desk.picture(photo)
    monkeypatch.setattr(codec, "bits_map", lambda *_: None)
    list(desk.work(codec, [], picture, None))
    assert picture.bits is None and picture.part is not None


@pytest.mark.parametrize("open_", [desk.picture, lambda path: desk.opened(None, path)], ids=["picture", "tfci"])
def test_what_is_too_large_is_refused_before_it_is_decoded(open_, tmp_path):
    path = tmp_path / "large"
    if open_ is desk.picture:
        Image.new("1", (4001, 4000)).save(path, "PNG")
    else:
        start = bitstream.prefix(Arithmetic.PORTABLE, 0x14, 0, b"\1\2\3\4")
        path.write_bytes(bitstream.build(start, 4001, 4000, [Record(0, (1, 2), (b"abc", b"de"), 3)]))
    with pytest.raises(DataError, match="4001 x 4000 pixels are more than the 16 megapixels that this page takes: use"):
        open_(str(path))


def test_file_is_known_by_its_first_bytes_or_its_name(tmp_path, photo):
    (tmp_path / "a").write_bytes(bitstream.MAGIC + b"...")
    (tmp_path / "b.TFCI").write_bytes(b"no such file")
    assert desk.is_file(str(tmp_path / "a")) and desk.is_file(str(tmp_path / "b.TFCI")) and not desk.is_file(photo)


def test_file_of_this_model_is_decoded_and_of_another_is_refused_by_its_name(fake, tmp_path, picture, monkeypatch):
    path, pixels = tmp_path / "a.tfci", picture(50, 100)[0].astype(np.uint8)
    start = bitstream.prefix(Arithmetic.PORTABLE, registry.preset("hypmqw2022", "nano").code, 0, b"\1\2\3\4")
    path.write_bytes(data := bitstream.build(start, 100, 50, [Record(0, (1, 2), (b"abc", b"de"), 3)]))
    mine, other = (fake("hypmqw2022", "nano", name) for name in ("01020304", "aabbccdd"))
    monkeypatch.setattr(mine, "decompress", lambda given: pixels if given == data else None)
    opened = desk.opened(mine, str(path))
    assert opened.pixels is pixels
    assert opened.about == f"100 x 50, {len(data)} bytes, {len(data) / 625:.4f} bits per pixel"
    with pytest.raises(DataError, match=r"by model 01020304 \(hypmqw2022 nano\), the page shows aabbccdd"):
        desk.opened(other, str(path))
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match="checksum"):
        desk.opened(mine, str(path))
