"""The command line as a user meets it: real processes, exit codes, one line for each thing that is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import config
from lic import bitstream, cli, commands, images, registry
from lic.bitstream import Arithmetic, Record

SCRIPTS = tuple(config.PRESETS)
ROOT = os.path.dirname(os.path.abspath(config.__file__))
COMMANDS = ("train", "compress", "decompress", "evaluate", "demo", "export", "serve", "convert", "info")


# The front desk: what is answered without TensorFlow ---------------------------------------------------------------

# Answers many command lines in one process, each with (exit code, stdout, stderr, whether TensorFlow came up).
DESK = """
import contextlib, io, json, sys
from lic import cli
answers = []
for script, *arguments in json.load(sys.stdin):
    sys.argv = [script + '.py', *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(script)
        except SystemExit as end:
            code = end.code
    answers.append((code, out.getvalue(), err.getvalue(), 'tensorflow' in sys.modules))
print(json.dumps(answers))
"""


def ask(*lines, cwd=None) -> list:
    """How the command line answers each [script, argument, ...]."""
    done = subprocess.run(
        [sys.executable, "-c", DESK], input=json.dumps([[str(word) for word in line] for line in lines]),
        capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_of_each_command_has_an_example_and_needs_no_tensorflow():
    lines = [(script, *command, "--help") for script in SCRIPTS for command in ((), *((c,) for c in COMMANDS))]
    for line, (code, out, err, tensorflow) in zip(lines, ask(*lines)):
        assert (code, err, tensorflow) == (0, "", False), line
        example = re.search(rf"^example: python {line[0]}\.py (\w+) .*$", out, re.M)
        assert example and (len(line) == 2 or example[1] == line[1]), out
        for option in ("--arithmetic", "--precision", "--tf32", "--xla", "--deterministic", "--threads", "-V"):
            assert option in out, line


def test_example_in_each_help_parses():
    for script in SCRIPTS:
        commands_ = cli.parser_of(script)._subparsers._group_actions[0].choices
        for name, parser in commands_.items():
            words = parser.epilog.split(".py ", 1)[1].replace("'", "").split()
            assert cli.parser_of(script).parse_args(words).command == name


@pytest.mark.parametrize("script_name", SCRIPTS)
def test_script_itself_answers_help_and_a_wrong_flag(script_name, script):
    helped = script(script_name, "--help")
    assert helped.code == 0 and not helped.err and all(command in helped.out for command in COMMANDS)
    wrong = script(script_name, "compress", "a.png", "--presset", "nano")
    assert wrong.code == 2 and not wrong.out and len(wrong.lines) == 1 and "--presset" in wrong.err


@pytest.fixture(scope="module")
def desk_folder(tmp_path_factory):
    """Files that a beginner might hand over."""
    folder = tmp_path_factory.mktemp("desk")
    Image.new("RGB", (9, 7), "red").save(folder / "picture.png")
    Image.new("RGB", (9, 7), "red").save(folder / "other.png")
    (folder / "text.txt").write_text("hello")
    (folder / "empty").write_bytes(b"")
    (folder / "no-model").mkdir()
    start = bitstream.prefix(Arithmetic.PORTABLE, 0x14, 0, b"\1\2\3\4")
    (folder / "file.tfci").write_bytes(bitstream.build(start, 100, 50, [Record(0, (1, 2), (b"abc", b"de"), 3)]))
    (folder / "tiles.tfci").write_bytes(
        bitstream.build(start, 100, 150, [Record(0, (1, 2), (b"abc", b"de"), 3)] * 2, (128, 256)))
    (folder / "float32.tfci").write_bytes(
        bitstream.build(bitstream.prefix(Arithmetic.FLOAT32, 0xff, 0, b"\1\2\3\4"), 1, 1, [Record(0, (1,), (b"",), 2)]))
    (folder / "cut.tfci").write_bytes((folder / "file.tfci").read_bytes()[:-3])
    (folder / "newer.tfci").write_bytes(bitstream.MAGIC + b"\7" + bytes(30))
    (folder / "older.tfci").write_bytes(bitstream.MAGIC + b"\1" + bytes(30))
    return folder


MISUSE = [  # (arguments, exit code, what the line says)
    ([], 2, "COMMAND"),
    (["transmogrify"], 2, "transmogrify"),
    (["compress"], 2, "PICTURE"),
    (["decompress"], 2, "FILE.tfci"),
    (["compress", "picture.png", "--level", "3"], 2, "--level"),
    (["compress", "picture.png", "--arithmetic", "nonsense"], 2, "nonsense"),
    (["compress", "picture.png", "--threads", "many"], 2, "many"),
    (["train", "--preset", "nope"], 2, "no preset 'nope': choose from"),
    (["info", "--preset", "nope"], 2, "no preset 'nope': choose from"),
    (["info", "picture.png", "--preset", "nano"], 2, "not both"),
    (["compress", "picture.png", "--model_path", "nowhere"], 1, "no model in './nowhere': there is no such folder"),
    (["compress", "picture.png", "--model_path", "no-model"], 1, "no model in './no-model': it has no model.json"),
    (["decompress", "file.tfci", "--model_path", "no-model"], 1, "no model in './no-model'"),
    (["export", "new", "--model_path", "no-model"], 1, "no model in './no-model'"),
    (["convert"], 2, "CHECKPOINT"),
    (["convert", "nothing.pth.tar"], 1, "cannot read nothing.pth.tar: no such file"),
    (["convert", "text.txt"], 1, "text.txt: this is no file of torch.save"),
    (["convert", "text.txt", "--out", "."], 2, "'.' exists and is not empty: give a new folder"),
    (["serve", "no-model"], 1, "no model in 'no-model'"),
    (["serve", "x=nowhere"], 1, "no model in 'nowhere': there is no such folder"),
    (["serve", "lsk2023", "lsk2023"], 2, "two models are called 'lsk2023': give NAME=DIR"),
    (["serve", "--workers", "0"], 2, "--workers has to be more than 0"),
    (["serve", "--queue", "-1"], 2, "--queue has to be 0 or more"),
    (["info", "no-model"], 1, "no model in './no-model'"),
    (["compress", "nothing*.png"], 2, "'nothing*.png' matches no file"),
    (["compress", "*.png", "all.tfci"], 2, "2 inputs can't go into the one file 'all.tfci': give --out DIR"),
    (["compress", "picture.png", "picture.tfci", "--out", "."], 2, "not both"),
    (["compress", "picture.png", "no-model/../picture.png", "--out", "o"], 2, "two inputs would be written to"),
    (["compress", "file.tfci", "./file.tfci"], 2, "would be written over an input"),
    (["decompress", "file.tfci", "cut.tfci", "./file.tfci"], 2, "two inputs would be written to"),
    (["compress", "picture.png", "/dev/stdout"], 2, "'/dev/stdout' is a stream"),
    (["compress", "-"], 2, "'-' is a stream"),
    (["decompress", "file.tfci", "/proc/self/fd/1"], 2, "'/proc/self/fd/1' is a stream"),
    (["decompress", "file.tfci", "restored"], 2, "a picture's name ends in what says its format"),
    (["decompress", "file.tfci", "restored.xyz"], 2, ".xyz"),
    (["decompress", "file.tfci", "cut.tfci", "--original", "picture.png"], 2, "--original goes with one file"),
    (["decompress", "file.tfci"], 1, "made by model 01020304 of lsk2023 tiny, which is not bundled: give its folder"),
    (["decompress", "nothing.tfci"], 1, "cannot read nothing.tfci: no such file"),
    (["decompress", "empty"], 1, "cannot read empty: the file is empty"),
    (["decompress", "picture.png"], 1, "picture.png: this is not a file of this codec: it begins like a PNG picture"),
    (["decompress", "cut.tfci"], 1, "cut.tfci: the file is truncated"),
    (["decompress", "newer.tfci"], 1, "newer.tfci: the file was made by a newer version"),
    (["decompress", "older.tfci"], 1, "older.tfci: the file was made by an older version"),
    (["decompress", "no-model"], 1, "cannot read no-model: this is a directory"),
    (["info", "nothing.tfci"], 1, "cannot read nothing.tfci: no such file"),
    (["info", "text.txt"], 1, "text.txt: this is not a file of this codec"),
    (["info", "cut.tfci"], 1, "cut.tfci: the file is truncated"),
    (["info", "older.tfci"], 1, "older.tfci: the file was made by an older version"),
]


def test_every_misuse_is_one_line_with_its_exit_code_and_needs_no_tensorflow(desk_folder):
    before = sorted((p.name, p.read_bytes()) for p in desk_folder.iterdir() if p.is_file())
    answers = ask(*(["lsk2023", *arguments] for arguments, _, _ in MISUSE), cwd=desk_folder)
    for (arguments, code, says), (got, out, err, tensorflow) in zip(MISUSE, answers):
        assert (got, out, len(err.splitlines()), tensorflow) == (code, "", 1, False), (arguments, got, out, err)
        assert err.startswith("lsk2023") and says in err, (arguments, err)
    after = sorted((p.name, p.read_bytes()) for p in desk_folder.iterdir() if p.is_file())
    assert before == after


def test_info_of_a_file_needs_no_tensorflow(desk_folder):
    plain, as_json, other, tiles = ask(["zyc2022", "info", desk_folder / "file.tfci"],
                                       ["zyc2022", "info", "--json", desk_folder / "file.tfci"],
                                       ["zyc2022", "info", "--json", desk_folder / "float32.tfci"],
                                       ["zyc2022", "info", "--json", desk_folder / "tiles.tfci"])
    for code, _, err, tensorflow in (plain, as_json, other, tiles):
        assert (code, err, tensorflow) == (0, "", False)
    size = (desk_folder / "file.tfci").stat().st_size
    assert json.loads(as_json[1]) == {
        "file": str(desk_folder / "file.tfci"), "script": "lsk2023", "preset": "tiny", "weights_id": "01020304",
        "bundled": False, "arithmetic": "portable", "quality": "none", "width": 100, "height": 50, "bytes": size,
        "bits_per_pixel": round(8 * size / 5000, 6), "tiles": 1, "tile": "none", "string_bytes": [3, 2]}
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in plain[1].splitlines())
    assert facts["weights id"] == "01020304" and facts["width"] == "100" and facts["bundled"] == "no"
    about = json.loads(tiles[1])
    assert (about["tiles"], about["tile"], about["string_bytes"]) == (2, "256 x 128", [6, 4])
    assert json.loads(other[1])["script"] == "unknown" and json.loads(other[1])["arithmetic"] == "float32"


def test_global_options_stand_before_or_after_the_command():
    for script in SCRIPTS:
        parse = cli.parser_of(script).parse_args
        options = ["--arithmetic", "float32", "--precision", "bfloat16", "--tf32", "--xla", "--deterministic",
                   "--threads", "3", "-V"]
        before, after = parse([*options, "compress", "a.png"]), parse(["compress", *options, "a.png"])
        mixed = parse([*options[:4], "compress", "a.png", *options[4:]])
        assert vars(before) == vars(after) == vars(mixed)
        assert cli._settings(config.Runtime, before) == config.Runtime("float32", "bfloat16", True, True, True, 3)
        assert cli._settings(config.Runtime, parse(["compress", "a.png"])) == config.Runtime()
        assert parse(["--threads", "3", "compress", "a.png", "--threads", "4"]).threads == 4


def test_every_training_setting_is_a_flag():
    arguments = cli.parser_of("zyc2022").parse_args(["train", "--lambda", "0.5", "--epochs", "7"])
    assert cli._settings(config.Training, arguments) == config.Training(lmbda=0.5, epochs=7)


# The commands ------------------------------------------------------------------------------------------------------

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
    ran = script("lsk2023", "-V", "--threads", "1", "--deterministic", "compress", str(pictures / "*.png"),
                 pictures / "cmyk.jpg", pictures / "none.jpg", "--out", out, "--model_path", saved["lsk2023"])
    return ran, out


def test_bad_pictures_are_a_line_each_and_the_rest_is_done(compressed, pictures):
    ran, out = compressed
    assert ran.code == 1
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{n}.tfci" for n in SIZES), "text.png.tfci"])
    assert (out / "text.png.tfci").read_text() == "precious", "what stood there is left alone"
    errors = [line for line in ran.lines if line.startswith("lsk2023: ")]
    for name, says in (("text.png", "not a picture"), ("cut.png", "broken or truncated"),
                       ("empty.png", "the file is empty"), ("none.jpg", "no such file")):
        assert [line for line in errors if f"cannot read {pictures / name}: " in line and says in line], ran.err
    assert len(errors) == 4


def test_what_a_picture_loses_is_noted_on_stderr(compressed, pictures):
    ran, _ = compressed
    notes = [line for line in ran.lines if not line.startswith("lsk2023: ")]
    for name, says in (("palette.png", "transparency: laid over white"), ("deep.png", "16 bits"), ("cmyk.jpg", "CMYK")):
        assert [line for line in notes if line.startswith(f"{pictures / name}: ") and says in line], ran.err
    assert len(notes) == 3, "and nothing else is there, above all not TensorFlow's log"


def test_verbose_prints_the_figures_of_the_file(compressed, codecs, pictures):
    from lic import metrics
    ran, out = compressed
    data, x = (out / "rgb.png.tfci").read_bytes(), images.read(pictures / "rgb.png").pixels
    restored = codecs["lsk2023"].decompress(data)
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
        assert (compressed[1] / f"{name}.tfci").read_bytes() == codecs["lsk2023"].compress(pixels)


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
    return script("lsk2023", "decompress", str(files / "*.tfci"), "--out", out, "--model_path", saved["lsk2023"]
                  ), files, out


def test_bad_files_are_a_line_each_and_the_rest_is_done(restored, codecs):
    ran, files, out = restored
    assert ran.code == 1 and not ran.out
    other = codecs["zyc2022"].weights_id
    for name, says in (
            ("altered", "the symbols of z (string 0) are not those that were encoded"), ("damaged", "checksum"),
            ("hostile", "larger than this codec decodes"), ("float32", "made with --arithmetic float32: give the same"),
            ("foreign", f"made by model {other} (zyc2022 tiny), not by {codecs['lsk2023'].weights_id}")):
        start = f"lsk2023: {files / name}.tfci: "
        assert [line for line in ran.lines if line.startswith(start) and says in line], ran.err
    assert len(ran.lines) == 5
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{n}.tfci.png" for n in SIZES), "altered.tfci.png"])
    assert (out / "altered.tfci.png").read_text() == "precious"


def test_odd_pictures_come_back_in_their_size(restored, codecs):
    _, files, out = restored
    for name, size in SIZES.items():
        pixels = np.asarray(Image.open(out / f"{name}.tfci.png"))
        assert pixels.shape == (*size, 3)
        np.testing.assert_array_equal(pixels, codecs["lsk2023"].decompress((files / f"{name}.tfci").read_bytes()))


@pytest.mark.parametrize("name", ["zyc2022", "hypmqw2022"])
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


# In this process, where TensorFlow is up already -------------------------------------------------------------------

THREADS = """
import os, sys
os.cpu_count = lambda: 2
from lic import cli
code = cli.run("zyc2022", cli.parser_of("zyc2022").parse_args(sys.argv[1:]))
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


@pytest.fixture
def here(capsys, monkeypatch, tmp_path):
    """here(script, argument, ...) -> (exit code, stdout, lines of stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        try:
            code = cli.run(name, cli.parser_of(name).parse_args([str(a) for a in arguments]))
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


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


def test_info_of_a_preset_has_its_parameters_and_its_kmacs(here):
    code, out, err = here("lsk2023", "info", "--preset", "small", "--json")
    about = json.loads(out)
    assert (code, err, about["parameters"], about["preset"]) == (0, [], 45_169_040, "small")
    assert set(about["kmacs_per_pixel"]) == {
        "analysis", "hyper_analysis", "hyper_synthesis", "context", "synthesis", "encode", "decode"}
    assert about["architecture"] == json.loads(json.dumps(config.as_dict(registry.preset("lsk2023", "small"))))
    code, out, _ = here("zyc2022", "info", "--preset", "tiny")
    assert code == 0 and re.search(r"^kmacs per pixel +analysis \d", out, re.M)


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
    assert code == 1 and len(err) == 1 and "1x1" in err[0] and "20x33" in err[0]


@pytest.mark.parametrize(("raised", "code", "says"), [
    (KeyboardInterrupt(), 130, "interrupted"), (MemoryError(), 1, "not enough memory")], ids=["interrupt", "memory"])
def test_interruption_and_want_of_memory_are_one_line(raised, code, says, here, monkeypatch):
    def breaks(*_):
        raise raised

    monkeypatch.setattr(commands, "info", breaks)
    assert here("lsk2023", "info") == (code, "", [f"lsk2023: {says}"])


def test_reader_that_goes_away_is_no_traceback(process):
    """As `info ... | head -1`, with more to say than a pipe holds."""
    ran = process("-c", "import subprocess, sys\n"
                  "code = ('from lic import cli, facts\\n'\n"
                  "        'facts.of_preset = lambda *_: {str(i): i for i in range(99999)}\\n'\n"
                  "        'cli.main(\"lsk2023\")')\n"
                  "child = subprocess.Popen([sys.executable, '-c', code, 'info'], stdout=-1, stderr=-1)\n"
                  "child.stdout.readline(); child.stdout.close()\n"
                  "print(child.stderr.read().decode(), child.wait())",
                  cwd=ROOT)
    assert ran.out == " 1\n", ran
