"""What the tools say that one can call does what they say, and what a user can mend is told in a line."""

from __future__ import annotations

import importlib
import shlex
import subprocess

import numpy as np
import pytest

from lic import graph_storing, images, resources
from tests.scripts import ROOT, SCRIPTS
from tools import memory, price, random_model, serve_load, store_graphs, tiles


def examples(tool) -> list[list[str]]:
    """The words behind `python -m tools.NAME` in each such line of its docstring."""
    command = f"    python -m {tool.__name__}"
    lines = [line for line in tool.__doc__.splitlines() if line.startswith(command)]
    return [shlex.split(line[len(command):], comments=True) for line in lines]


def _shown(value) -> str:
    return getattr(value, "__name__", None) or " ".join(value if isinstance(value, list) else [value])


EXAMPLES = [(tool, words) for tool in (memory, price, serve_load, tiles) for words in examples(tool)]


@pytest.fixture
def photograph(picture, tmp_path) -> str:
    """The name of a picture of 96 x 64."""
    images.write(tmp_path / "picture.png", picture(64, 96)[0].astype(np.uint8))
    return str(tmp_path / "picture.png")


@pytest.mark.parametrize(("tool", "words"), EXAMPLES, ids=_shown)
def test_example_of_a_tool_is_a_command_line_of_it(tool, words):
    a = tool.arguments(words)
    preset = getattr(a, "preset", None) or getattr(a, "model", None)
    if tool in (price, tiles) and preset:
        assert random_model.scripts_with(preset, a.scripts)


def test_every_tool_has_its_examples():
    assert {tool for tool, _ in EXAMPLES} == {memory, price, serve_load, tiles}


def test_preset_of_some_scripts_is_priced_with_those(photograph, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(price, "codecs_of", lambda script, preset: asked.append((script, preset)))
    monkeypatch.setattr(price, "prices", lambda *_: {"compress": (1.0, 2.0, 0.5)})
    price.main([photograph, "--preset", "small"])
    assert asked == [("lsk2023", "small")]
    assert "| lsk2023 small | compress | 1.000 s | 2.000 s | 0.50 |" in capsys.readouterr().out


@pytest.mark.slow
def test_price_is_told_of_both_commands(photograph, capsys):
    price.main([photograph, "--preset", "tiny", "--runs", "1", "--scripts", "hypmqw2022"])
    assert [row.split("|")[2].strip() for row in capsys.readouterr().out.splitlines()[2:]] == ["compress", "decompress"]


def test_memory_of_a_preset_is_told_in_bytes_a_pixel(capsys, monkeypatch):
    monkeypatch.setattr(memory, "SIDE", 64)
    memory.main(["hypmqw2022", "tiny"])
    said = capsys.readouterr().out
    assert said.startswith("hypmqw2022 tiny: ") and float(said.split()[-1]) >= 0


@pytest.mark.parametrize(("tool", "words", "said"), [
    (price, ["nowhere.png"], "price: cannot read nowhere.png: no such file"),
    (price, ["PICTURE", "--preset", "none"], "price: no preset 'none' in lsk2023, zyc2022, hypmqw2022"),
    (tiles, ["nowhere/*.png"], "tiles: 'nowhere/*.png' matches no file"),
    (tiles, ["PICTURE", "--large", "--model", "none"], "tiles: no preset 'none' in "),
    (memory, ["lsk2023", "none"], "memory: lsk2023 has no preset 'none'"),
    (serve_load, ["nowhere"], "serve_load: no model in 'nowhere'"),
], ids=_shown)
def test_what_a_user_can_mend_is_told_in_a_line(tool, words, said, photograph, capsys):
    with pytest.raises(SystemExit) as ended:
        tool.main([photograph if word == "PICTURE" else word for word in words])
    assert ended.value.code in (1, 2) and capsys.readouterr().err.startswith(said)


def test_mosaic_is_of_the_pictures_over_and_over(photograph):
    pixels, one = tiles.mosaic([photograph], 100, 200), images.read(photograph).pixels
    assert pixels.shape == (100, 200, 3)
    np.testing.assert_array_equal(pixels[64:, 96:192], one[:36])


@pytest.mark.parametrize("words", examples(store_graphs), ids=_shown)
def test_graphs_are_stored_in_the_folders_that_are_named(words, monkeypatch, capsys, tmp_path):
    """FOLDER stands for one; without any, in those of the bundled models."""
    bundled, stored = list(map(resources.bundled, SCRIPTS)), []
    monkeypatch.setattr(graph_storing, "save", stored.append)
    named = [bundled[0] for _ in words]
    monkeypatch.setattr("sys.argv", ["store_graphs", *named])
    store_graphs.main()
    assert stored == (named or bundled)


# The processes of serve_load -----------------------------------------------------------------------------------------

@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    processes = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return processes


def test_server_that_ends_before_it_serves_is_an_error_of_one_line(started, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(serve_load.DataError, match="the server ended"), serve_load.serving(str(tmp_path), []):
        pass
    assert [process.poll() is None for process in started] == [False]


def test_no_process_outlives_what_is_measured(started, monkeypatch):
    """Also where the library fails while the server serves."""
    monkeypatch.setattr(serve_load, "Server", lambda process: process)
    monkeypatch.setattr(serve_load, "jobs_of", lambda *_: [])
    monkeypatch.setattr("lic.load", lambda *_, **__: None)
    monkeypatch.setattr(importlib.import_module("lic.export"), "save", lambda *_: None)
    with pytest.raises(serve_load.DataError, match="the library ended"):
        serve_load.measure(serve_load.arguments(["--picture", "nowhere.png"]))
    assert [process.poll() is None for process in started] == [False, False]
