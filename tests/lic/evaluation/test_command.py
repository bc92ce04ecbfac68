"""`evaluate` as a user meets it: real processes, and one line for each thing that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scripts import ROOT

# Runs several command lines in one process, which has no TensorFlow: what is wrong is said before it would come up.
DESK = """
import contextlib, io, json, sys
sys.modules['tensorflow'] = None
from lic import cli
answers = []
for arguments in json.load(sys.stdin):
    sys.argv = ['lsk2023.py', 'evaluate', *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main('lsk2023')
        except SystemExit as end:
            code = end.code
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""

WRONG = {
    "matches no file": (["none*.png"], 2),
    "there is no such folder": (["a.png", "--model_path", "absent"], 1),
    "no codec 'bpg'": (["a.png", "--against", "jpeg,bpg"], 2),
    "'0,50' holds a quality outside 1..100": (["a.png", "--quality", "0,50"], 2),
    "'50,101' holds a quality outside 1..100": (["a.png", "--quality", "50,101"], 2),
    "'nan' holds a quality outside 1..100": (["a.png", "--quality", "nan"], 2),
    "invalid Q,Q,... value: 'high'": (["a.png", "--quality", "high"], 2),
    "'file' is not a folder": (["a.png", "--out", "file"], 2),
    "'full' holds other things than a report": (["a.png", "--out", "full"], 2),
    "'absent/../full' holds other things than a report": (["a.png", "--out", "absent/../full"], 2),
    "--out: an empty name is given": (["a.png", "--out", ""], 2),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, picture) -> Path:
    place = tmp_path_factory.mktemp("place")
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    (place / "file").write_text("mine")
    (place / "broken.png").write_text("no picture")
    Image.fromarray(picture(170, 200)[0].astype(np.uint8)).save(place / "a.png")
    return place


@pytest.fixture(scope="module")
def answers(place) -> dict:
    done = subprocess.run([sys.executable, "-c", DESK], input=json.dumps([words for words, _ in WRONG.values()]),
                          capture_output=True, text=True, timeout=120, cwd=place,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return dict(zip(WRONG, json.loads(done.stdout)))


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said_in_one_line_before_tensorflow_comes_up(answers, said):
    code, out, err = answers[said]
    assert (code, out) == (WRONG[said][1], "") and said in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def ran(place, script):
    return script("hypmqw2022", "evaluate", "a.png", "broken.png", "--against", "jpeg", "--out", "report", cwd=place)


def test_bundled_model_is_measured_and_a_broken_picture_counted(ran, place):
    assert ran.code == 1 and len(ran.lines) == 1 and "broken.png" in ran.err
    assert "| hypmqw2022 nano-variable |" in ran.out and "| JPEG " in ran.out and "Average of 1 picture\n" in ran.out
    stored = json.loads((place / "report" / "results.json").read_text())
    assert stored["failed"] == ["broken"] and stored["pictures"] == ["a"]


@pytest.mark.slow
def test_rate_is_that_of_the_file_that_compress_writes(ran, place):
    import lic
    codec = lic.load("hypmqw2022")
    first = next(row for row in json.loads((place / "report" / "results.json").read_text())["rows"])
    quality = {} if first["quality"] is None else {"quality": first["quality"]}
    data = codec.compress(Image.open(place / "a.png"), **quality)
    assert first["bytes"] == len(data) and first["bpp"] == round(8 * len(data) / (170 * 200), 6)
