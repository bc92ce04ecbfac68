"""What the commands do, in processes of their own as a user starts them, and in this one."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import config
from lic import bitstream, images
from lic.bitstream import Arithmetic
from tests.scripts import ROOT, SCRIPTS, WITHOUT_TCM


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, picture):
    """Odd pictures, and what is none."""
    folder = tmp_path_factory.mktemp("pictures")
    rgb = Image.fromarray(picture(170, 180)[0].astype(np.uint8))
    rgb.save(folder / "rgb.png")
    rgb.crop((0, 0, 1, 1)).save(folder / "one.png")
    palette = rgb.crop((0, 0, 37, 65)).quantize(32)
    palette.save(folder / "palette.png", transparency=bytes([0] * 4 + [255] * 28))
    deep = picture(33, 20)[0, :, :, 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    rgb.crop((0, 0, 50, 40)).convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "text.png").write_text("hello, I am no picture")
    (folder / "cut.png").write_bytes((folder / "rgb.png").read_bytes()[:2000])
    (folder / "empty.png").write_bytes(b"")
    return folder


SIZES = {"rgb.png": (170, 180), "one.png": (1, 1), "palette.png": (65, 37), "deep.png": (33, 20), "cmyk.jpg": (40, 50)}


@pytest.fixture(scope="module")
def compressed(pictures, script, saved, tmp_path_factory):
    """(how it ended, the folder) of one compression of all pictures, good and bad, by a glob and by names."""
    out = tmp_path_factory.mktemp("compressed") / "deeper" / "still"
    out.mkdir(parents=True)
    (out / "text.png.tfci").write_text("precious")
    ran = script("hypmqw2022", "-V", "--threads", "1", "--deterministic", "compress", str(pictures / "*.png"),
                 pictures / "cmyk.jpg", pictures / "none.jpg", "--out", out, "--model_path", saved["hypmqw2022"])
    return ran, out


def test_bad_pictures_are_a_line_each_and_the_rest_is_done(compressed, pictures):
    ran, out = compressed
    assert ran.code == 1
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{n}.tfci" for n in SIZES), "text.png.tfci"])
    assert (out / "text.png.tfci").read_text() == "precious", "what stood there is left alone"
    errors = [line for line in ran.lines if line.startswith("hypmqw2022: ")]
    for name, says in (("text.png", "not a picture"), ("cut.png", "broken or truncated"),
                       ("empty.png", "the file is empty"), ("none.jpg", "no such file")):
        assert [line for line in errors if f"cannot read {pictures / name}: " in line and says in line], ran.err
    assert len(errors) == 4


def test_what_a_picture_loses_is_noted_on_stderr(compressed, pictures):
    ran, _ = compressed
    notes = [line for line in ran.lines if not line.startswith("hypmqw2022: ")]
    for name, says in (("palette.png", "transparency: laid over white"), ("deep.png", "16 bits"), ("cmyk.jpg", "CMYK")):
        assert [line for line in notes if line.startswith(f"{pictures / name}: ") and says in line], ran.err
    assert len(notes) == 3, "and nothing else is there, above all not TensorFlow's log"


def test_verbose_prints_the_figures_of_the_file(compressed, codecs, pictures):
    from lic import metrics
    ran, out = compressed
    data, x = (out / "rgb.png.tfci").read_bytes(), images.read(pictures / "rgb.png").pixels
    restored = codecs["hypmqw2022"].decompress(data)
    block = ran.out.split(f"{pictures / 'rgb.png'} -> ")[1].split(" -> ")[0]
    similarity = metrics.ms_ssim(x, restored)
    for figure in (f"MSE {metrics.mse(x, restored):.4f}, ", f"PSNR {metrics.psnr(x, restored):.3f} dB, ",
                   f"MS-SSIM {similarity:.5f} ({metrics.ms_ssim_db(similarity):.3f} dB)", "180 x 170",
                   f"{len(data)} bytes, {8 * len(data) / (170 * 180):.4f} bits per pixel of the file"):
        assert figure in block, ran.out
    assert re.search(r"read \d+\.\d\d s, compress \d+\.\d\d s, decompress \d+\.\d\d s, write \d+\.\d\d s", block)
    assert re.search(r"^start \d+\.\d\d s", ran.out, re.M)
    assert "MS-SSIM not defined below 161 pixels" in ran.out


def test_command_line_and_python_write_the_same_bytes(compressed, codecs, pictures):
    for name in SIZES:
        pixels = images.read(pictures / name).pixels
        assert (compressed[1] / f"{name}.tfci").read_bytes() == codecs["hypmqw2022"].compress(pixels)


@pytest.fixture(scope="module")
def restored(compressed, codecs, pictures, script, saved, tmp_path_factory):
    """(how it ended, folder of the files, folder of the pictures) of one decompression of files good and bad."""
    files, out = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("restored")
    for name in SIZES:
        shutil.copy(compressed[1] / f"{name}.tfci", files / f"{name}.tfci")
    data = (files / "rgb.png.tfci").read_bytes()
    header, records = bitstream.parse(data)
    other_check = ((records[0].checks[0] + 1) % 251, *records[0].checks[1:])
    bad = {
        "altered": bitstream.build(header.prefix, header.width, header.height,
                                   [dataclasses.replace(records[0], checks=other_check)]),
        "damaged": data[:100] + bytes([data[100] ^ 4]) + data[101:],
        "hostile": bitstream.build(header.prefix, 65535, 65535, records),
        "float32": bitstream.build(bitstream.prefix(Arithmetic.FLOAT32, header.model_code, 0, header.weights_id),
                                   header.width, header.height, records),
        "foreign": codecs["zyc2022"].compress(images.read(pictures / "one.png").pixels)}
    for name, contents in bad.items():
        (files / f"{name}.tfci").write_bytes(contents)
    (out / "altered.tfci.png").write_text("precious")
    return script("hypmqw2022", "decompress", str(files / "*.tfci"), "--out", out, "--model_path", saved["hypmqw2022"]
                  ), files, out


def test_bad_files_are_a_line_each_and_the_rest_is_done(restored, codecs):
    ran, files, out = restored
    assert ran.code == 1 and not ran.out
    other = codecs["zyc2022"].weights_id
    for name, says in (
            ("altered", "the symbols of z (string 0) are not those that were encoded"), ("damaged", "checksum"),
            ("hostile", "larger than this codec decodes"), ("float32", "made with --arithmetic float32: give the same"),
            ("foreign", f"made by model {other} (zyc2022 tiny), not by {codecs['hypmqw2022'].weights_id}")):
        start = f"hypmqw2022: {files / name}.tfci: "
        assert [line for line in ran.lines if line.startswith(start) and says in line], ran.err
    assert len(ran.lines) == 5
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{n}.tfci.png" for n in SIZES), "altered.tfci.png"])
    assert (out / "altered.tfci.png").read_text() == "precious"


def test_odd_pictures_come_back_in_their_size(restored, codecs):
    _, files, out = restored
    for name, size in SIZES.items():
        pixels = np.asarray(Image.open(out / f"{name}.tfci.png"))
        assert pixels.shape == (*size, 3)
        np.testing.assert_array_equal(pixels, codecs["hypmqw2022"].decompress((files / f"{name}.tfci").read_bytes()))


@pytest.mark.parametrize("name", WITHOUT_TCM)
def test_every_script_compresses_and_decompresses(name, script, saved, pictures, codecs, tmp_path):
    """In the arithmetic that is not the default; a file beside the picture, and a picture of the wished format."""
    shutil.copy(pictures / "rgb.png", tmp_path)
    flags = ("--model_path", saved[name], "--arithmetic", "float32", *(["--tf32"] if name == "zyc2022" else []))
    ran = script(name, "compress", "rgb.png", *flags, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    header, _ = bitstream.parse((tmp_path / "rgb.png.tfci").read_bytes())
    assert header.arithmetic == (Arithmetic.TF32 if name == "zyc2022" else Arithmetic.FLOAT32)
    ran = script(name, *flags[2:], "decompress", "rgb.png.tfci", "back.webp", "--original", "rgb.png", *flags[:2],
                 cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "") and "rgb.png.tfci -> back.webp: 180 x 170" in ran.out
    assert "PSNR" in ran.out and "bits per pixel of the file" in ran.out
    assert Image.open(tmp_path / "back.webp").size == (180, 170)
    assert len(list(tmp_path.iterdir())) == 3


THREADS = """
import os, sys
os.cpu_count = lambda: 2
from lic import cli
code = cli.run("zyc2022", sys.argv[1:])
import tensorflow as tf
print("exit code", code, "threads", tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize("flags, count, threads", [
    ((), 4, 1), ((), 3, 0), (("-V",), 4, 0), (("--threads", 3), 4, 3)],
    ids=["many", "few", "one by one", "as told"])
def test_of_many_small_pictures_each_has_a_core_and_they_come_out_as_ever(
        flags, count, threads, process, saved, codecs, pictures, tmp_path):
    names = ["rgb.png", "one.png", "palette.png", "text.png"][:count]
    model = ("--model_path", saved["zyc2022"])
    ran = process("-c", THREADS, "compress", *(pictures / name for name in names), "--out", tmp_path, *model, *flags,
                  cwd=ROOT)
    assert f"exit code {int(count == 4)} threads {threads}" in ran.out, ran.err
    for name in names[:3]:
        assert (tmp_path / f"{name}.tfci").read_bytes() == codecs["zyc2022"].compress(Image.open(pictures / name))
    if flags:
        return
    (tmp_path / "text.png.tfci").write_text("no file of ours")
    ran = process("-c", THREADS, "decompress", *(tmp_path / f"{name}.tfci" for name in names), *model, cwd=ROOT)
    assert f"exit code {int(count == 4)} threads {threads}" in ran.out, ran.err
    assert Image.open(tmp_path / "rgb.png.tfci.png").size == (180, 170)


# In this process, where TensorFlow is up already -------------------------------------------------------------------

@pytest.mark.parametrize(("many", "signatures"), [
    (True, "compress, compress_at and decompress"), (False, "compress and decompress")])
def test_export_tells_of_every_signature_that_it_writes(many, signatures, here, fake, monkeypatch):
    monkeypatch.setattr("lic.cli.starting.codec", lambda *_, **__: fake("lsk2023", "nano", "01020304", many))
    monkeypatch.setattr("lic.export.save", lambda *_: None)
    code, out, _ = here("lsk2023", "export", "new")
    assert (code, out) == (0, f"SavedModel with signatures {signatures} in 'new'\n")


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name == "hypmqw2022" else pytest.mark.slow) for name in SCRIPTS])
def test_train_export_info_and_compress_work_hand_in_hand(name, here, pictures, tmp_path):
    """A run of two steps; from then on its folder is a model, and so is what `export` makes of it."""
    code, _, _ = here(name, "train", "--preset", "tiny", "--train_glob", pictures / "rgb.png", "--train_path", "run",
                      "--epochs", 1, "--steps_per_epoch", 2, "--batchsize", 1, "--patchsize", 64)
    assert code == 0
    assert here(name, "export", "exported/1", "--model_path", "run/model")[0] == 0
    made = set()
    for model in ("run", "run/model", "exported/1"):
        code, out, err = here(name, "compress", pictures / "cmyk.jpg", "a.tfci", "--model_path", model)
        assert code == 0 and len(err) == 1, err
        made.add((tmp_path / "a.tfci").read_bytes())
        code, out, _ = here(name, "info", model, "--json")
        about = json.loads(out)
        assert code == 0 and (about["script"], about["preset"]) == (name, "tiny")
        assert about["weights_id"] == bitstream.parse((tmp_path / "a.tfci").read_bytes())[0].weights_id.hex()
        assert about["parameters"] > 1000 and about["kmacs_per_pixel"]["encode"] > 0
    assert len(made) == 1
    assert here(name, "decompress", "a.tfci", "b.png", "--model_path", "run")[0] == 0


def test_switch_that_comes_too_late_is_misuse(here, saved, pictures):
    code, _, err = here("hypmqw2022", "compress", pictures / "one.png", "--model_path", saved["hypmqw2022"],
                        "--threads", 63)
    assert code == 2 and len(err) == 1 and "TensorFlow refuses these switches" in err[0]


@pytest.mark.parametrize("threads", [-3, 1 << 20])
def test_threads_that_no_machine_has_are_misuse(threads, here, saved, pictures):
    code, _, err = here("hypmqw2022", "compress", pictures / "one.png", "--model_path", saved["hypmqw2022"],
                        "--threads", threads)
    assert (code, err) == (2, [f"hypmqw2022: --threads {threads} is not within 0..1024"])


def test_unwritable_target_is_one_line(here, saved, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    for target in ("file/a.tfci", "file/deeper/a.tfci", "/proc/none/a.tfci", "/proc/a.tfci"):
        code, out, err = here("hypmqw2022", "compress", pictures / "one.png", target,
                              "--model_path", saved["hypmqw2022"])
        assert (code, out, len(err)) == (1, "", 1) and f"cannot write {target}: " in err[0], err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_exists_is_replaced_or_with_keep_left_as_it_is(here, saved, pictures, tmp_path):
    (tmp_path / "one.png.tfci").write_text("mine")
    words = ("compress", pictures / "one.png", pictures / "one.png", "--out", ".", "--model_path", saved["hypmqw2022"])
    assert here("hypmqw2022", *words, "--keep") == (0, "", ["1 of 1 outputs exist and are left as they are"])
    assert (tmp_path / "one.png.tfci").read_text() == "mine"
    (tmp_path / "one.png.tfci").unlink()
    assert here("hypmqw2022", *words, "--keep")[0] == 0
    made = (tmp_path / "one.png.tfci").read_bytes()
    (tmp_path / "one.png.tfci").write_text("mine")
    assert here("hypmqw2022", *words)[0] == 0 and (tmp_path / "one.png.tfci").read_bytes() == made


def test_folder_named_like_a_script_is_a_folder(here, saved, pictures, tmp_path):
    shutil.copytree(saved["hypmqw2022"], tmp_path / "lsk2023")
    assert here("lsk2023", "compress", pictures / "one.png", "a.tfci", "--model_path", "lsk2023")[0] == 0
    assert config.by_code(bitstream.parse((tmp_path / "a.tfci").read_bytes())[0].model_code)[0] == "hypmqw2022"


def test_original_of_another_size_is_one_line(here, saved, codecs, pictures, tmp_path):
    (tmp_path / "a.tfci").write_bytes(codecs["hypmqw2022"].compress(images.read(pictures / "one.png").pixels))
    code, _, err = here("hypmqw2022", "decompress", "a.tfci", "--original", pictures / "deep.png",
                        "--model_path", saved["hypmqw2022"])
    assert code == 1 and len(err) == 1 and "has 20 x 33 pixels, the file 1 x 1: give the picture" in err[0]
    assert not (tmp_path / "a.tfci.png").exists()
