"""The command line as a user meets it: help, misuse, exit codes, one line for each thing that is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from lic import bitstream
from lic.bitstream import Arithmetic, Record
from lic.cli import commands
from tests.scripts import ROOT, SCRIPTS

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
        capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)})
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
        bitstream.build(start, 100, 150, [Record(0, (1, 2), (b"abc", b"de"), 3)] * 2, (128, 256),
                        [("EXIF", bytes(10)), ("XMP ", b"rdf")]))
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
    (["decompress", "file.tfci", "picture.png", "--original", "./picture.png"], 2, "would be written over an input"),
    (["compress", "picture.png", "--out", ""], 2, "argument --out: an empty name is given"),
    (["compress", "picture.png", "--model_path", ""], 2, "argument --model_path: an empty name is given"),
    (["train", "--export_step", ""], 2, "argument --export_step: an empty name is given"),
    (["serve", "--grpc_port", "8501"], 2, "--grpc_port and --rest_port are both 8501: give two"),
    (["decompress", "file.tfci", "cut.tfci", "./file.tfci"], 2, "two inputs would be written to"),
    (["compress", "picture.png", "/dev/stdout"], 2, "'/dev/stdout' is a stream"),
    (["compress", "-"], 2, "'-' is a stream"),
    (["decompress", "file.tfci", "/proc/self/fd/1"], 2, "'/proc/self/fd/1' is a stream"),
    (["compress", "/dev/stdin"], 2, "nothing can lie beside it: name the output, or give --out DIR"),
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
    (["info", ""], 1, "cannot read ''"),
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
        "bits_per_pixel": round(8 * size / 5000, 6), "tiles": 1, "tile": "none", "string_bytes": [3, 2],
        "metadata_bytes": {}}
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in plain[1].splitlines())
    assert facts["weights id"] == "01020304" and facts["width"] == "100" and facts["bundled"] == "no"
    assert facts["metadata bytes"] == "none"
    about = json.loads(tiles[1])
    assert (about["tiles"], about["tile"], about["string_bytes"]) == (2, "256 x 128", [6, 4])
    assert about["metadata_bytes"] == {"exif": 10, "xmp": 3}
    assert json.loads(other[1])["script"] == "unknown" and json.loads(other[1])["arithmetic"] == "float32"


# How a command ends -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("raised", "code", "says"), [
    (KeyboardInterrupt(), 130, "interrupted"), (MemoryError(), 1, "not enough memory")], ids=["interrupt", "memory"])
def test_interruption_and_want_of_memory_are_one_line(raised, code, says, here, monkeypatch):
    def breaks(*_):
        raise raised

    monkeypatch.setattr(commands, "info", breaks)
    assert here("lsk2023", "info") == (code, "", [f"lsk2023: {says}"])


@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_nothing_to_fail_at(redirected, desk_folder, tmp_path):
    command = f'"{sys.executable}" "{ROOT}/lsk2023.py" info "{desk_folder}/file.tfci" {redirected}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("words", "says"), [
    ('info "{}/file.tfci" > /dev/full', "standard output can't be written: No space left on device"),
    ('info "{}/file.tfci" && cd gone && rmdir ../gone && "{}" "{}/lsk2023.py" compress "{}/picture.png" new.tfci',
     "the current directory is gone: change to another")])
def test_full_output_and_a_missing_current_directory_are_named(words, says, desk_folder, tmp_path):
    (tmp_path / "gone").mkdir()
    command = f'"{sys.executable}" "{ROOT}/lsk2023.py" ' + words.format(desk_folder, sys.executable, ROOT, desk_folder)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"lsk2023: {says}\n")


def test_what_cannot_be_told_stops_no_other_work():
    from lic.cli import notes

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    with contextlib.redirect_stderr(Full()):
        notes.note("a picture failed")


def test_reader_that_goes_away_is_no_traceback(process):
    """As `info ... | head -1`, with more to say than a pipe holds."""
    ran = process("-c", "import subprocess, sys\n"
                  "code = ('from lic import cli\\nfrom lic.cli import facts\\n'\n"
                  "        'facts.of_preset = lambda *_: {str(i): i for i in range(99999)}\\n'\n"
                  "        'cli.main(\"lsk2023\")')\n"
                  "child = subprocess.Popen([sys.executable, '-c', code, 'info'], stdout=-1, stderr=-1)\n"
                  "child.stdout.readline(); child.stdout.close()\n"
                  "print(child.stderr.read().decode(), child.wait())",
                  cwd=ROOT)
    assert ran.out == " 1\n", ran
