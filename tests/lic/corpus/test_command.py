"""`python -m lic.corpus` as a user meets it: help, misuse, and a run of several processes that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic.corpus import __main__ as command
from tests.scripts import ROOT


def test_help_of_each_command_has_an_example_and_needs_neither_tensorflow_nor_beam(process):
    code = ("import runpy, sys; sys.modules.update(tensorflow=None, apache_beam=None); sys.argv = ['corpus', *{}]; "
            "runpy.run_module('lic.corpus', run_name='__main__')")
    for words in (["--help"], ["compress", "--help"], ["decompress", "--help"]):
        helped = process("-c", code.format(words), PYTHONPATH=str(ROOT))
        assert helped.code == 0 and not helped.err
        example = re.search(r"^example: python -m lic\.corpus (.*)$", helped.out, re.M)
        assert example and command.parser().parse_args(example[1].replace("'", "").split())


def test_missing_beam_is_one_line_that_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert command.main(["decompress", "x/*.tfci", "out"]) == 2
    assert capsys.readouterr().err == ("corpus: a corpus runs on Apache Beam, which is missing: pip install "
                                       "'.[beam]' (Python 3.10 or newer)\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a training run, a broken model and a picture."""
    for name, text in (("run/run.json", "{}"), ("broken/model.json", "{"), ("empty/model.json", "{}"), ("x.png", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("words", "code", "line"), [
    ([], 2, "COMMAND"), (["compress", "*.png"], 2, "DIR"),
    (["compress", "*.png", "out", "--qualty", "3"], 2, "--qualty"),
    (["compress", "*.png", "out", "--batch", "0"], 2, "'0' is less than 1"),
    (["compress", "*.png", "out", "--workers", "x"], 2, "x"),
    (["compress", "*.png", "out", "--runner", "Abacus"], 2, "Abacus"),
    (["compress", "*.jpg", "out"], 2, "'*.jpg' matches no file"),
    (["compress", "*.png", "out", "--quality", "101"], 2, "the quality 101 is not within 1..100"),
    (["compress", "*.png", "out", "--model", "run"], 2, "run' is a training run: give the model that it saved"),
    (["compress", "*.png", "out", "--model", "broken"], 1, "broken': model.json is broken"),
    (["compress", "*.png", "out", "--model", "empty"], 1, "empty': model.json is broken"),
    (["compress", "*.png", "out", "--model", "nowhere"], 1, "nowhere': there is no such folder"),
    (["decompress", "*.png", "out", "--model", "nowhere"], 1, "nowhere': there is no such folder"),
    (["compress", "*.png", "out", "--runner", "FlinkRunner", "--workers", "2"], 2, "--workers goes with DirectRunner")])
def test_misuse_is_one_line_and_leaves_nothing(here, words, code, line, capsys):
    try:
        ended = command.main(words)
    except SystemExit as end:
        ended = end.code
    said = capsys.readouterr()
    assert (ended, said.out, said.err.count("\n")) == (code, "", 1) and line in said.err
    assert not os.path.exists("out")


def test_model_of_one_rate_takes_no_quality(here, capsys):
    about = {"script": "lsk2023", "preset": "tiny", "weights_id": "01020304"}
    Path("broken/model.json").write_text(json.dumps(about))
    assert command.main(["compress", "*.png", "out", "--model", "broken", "--quality", "30"]) == 2
    assert "the model has one rate" in capsys.readouterr().err


def test_engine_that_gives_up_is_one_line(here, monkeypatch, capsys):
    def give_up(*_):
        raise RuntimeError("a log\nof many lines\nno room on the cluster")

    monkeypatch.setattr("lic.corpus.pipeline.run", give_up)
    assert command.main(["compress", "*.png", "out"]) == 1
    assert capsys.readouterr().err == ("corpus: DirectRunner gave up: no room on the cluster; the same command goes on "
                                       "from here\n")


def records(out: Path) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(out / ".corpus") for name in names
            if name.endswith(".json")]


def stamps(out: Path) -> dict[Path, tuple[int, int]]:
    """What changes where a file is written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*.tfci")}


@pytest.mark.slow
def test_killed_run_of_two_processes_goes_on_and_does_nothing_twice(photos, saved, codecs, tmp_path, process):
    folder, out, back = photos(60, 200, 300), tmp_path / "packed", tmp_path / "back"
    (folder / "text.png").write_text("no picture")
    words = ["-m", "lic.corpus", "compress", f"{folder}/**/*.png", str(out), "--model", str(saved["lsk2023"]),
             "--workers", "2", "--batch", "2"]
    first = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)
    while len(records(out)) < 5:
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    before = stamps(out)
    done = {str(path.relative_to(out / ".corpus"))[:-len(".json")] + ".tfci" for path in records(out)}
    assert 5 <= len(done) < 60
    ended = process(*words, cwd=ROOT)
    assert ended.code == 1 and f"{len(done)} done before, 1 failed" in ended.out, ended
    assert not [line for line in ended.lines if line.startswith(("INFO", "WARNING"))], "of the processes of Beam"
    after = stamps(out)
    assert {name for name in done if after[out / name] != before[out / name]} == set()
    manifest = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) == len({row["path"] for row in manifest}) == len(after) == 60
    assert json.loads((out / "failed.jsonl").read_text())["path"] == "text.png"
    assert not [path for path in out.rglob("*.tmp")]

    codec = codecs["lsk2023"]
    for name in ("000.png", "deep/er/001.png"):
        assert (out / f"{name}.tfci").read_bytes() == codec.compress(Image.open(folder / name))
    ended = process("-m", "lic.corpus", "decompress", f"{out}/**/*.tfci", str(back), "--model", str(saved["lsk2023"]),
                    cwd=ROOT)
    assert ended.code == 0 and "60 written, 0 done before" in ended.out and not ended.err, ended
    restored = Image.open(back / "deep" / "er" / "001.png.tfci.png")
    assert np.array_equal(np.asarray(restored), codec.decompress((out / "deep/er/001.png.tfci").read_bytes()))
