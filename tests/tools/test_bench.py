"""What the benchmark compares, not how fast it is."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from tests.scripts import ROOT
from tools import random_model
from tools.bench import __main__ as bench
from tools.bench import curves, many, stages, steps, warm
from tools.bench.timing import in_turns, ratio


def test_works_take_turns_and_the_first_round_does_not_count():
    done = []
    seconds = in_turns({name: lambda name=name: done.append(name) for name in "abc"}, 2)
    assert done == list("abc" * 3) and {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("abc", 2)


def test_ratio_is_the_median_of_pairs():
    assert ratio([1, 100, 3], [1, 10, 1]) == 3


@pytest.mark.slow
def test_every_graph_of_the_benchmark_shows_the_same_picture_and_the_straightforward_one_writes_the_same_file(picture):
    pixels = picture(70, 90)[0].astype(np.uint8)
    codecs = {name: random_model.codec("hypmqw2022", "tiny", runtime) for name, runtime in warm.SWITCHES.items()}
    with warm.straightforward():
        plain = codecs[warm.BASELINE].compress(pixels)
    assert plain == codecs["float32"].compress(pixels)
    shown = codecs["float32"].decompress(plain)
    with warm.straightforward():
        np.testing.assert_array_equal(codecs[warm.BASELINE].decompress(plain), shown)


def test_stage_is_told_by_its_share_of_what_the_machine_can_do(picture):
    rows = stages.measure("hypmqw2022", "tiny", picture(64, 64)[0].astype(np.uint8), 1,
                          {"float32": 100.0, "bfloat16": 200.0})
    assert [row["work"].split(" ", 2)[2] for row in rows] == [
        "entropy float32", "analysis float32", "synthesis float32", "analysis bfloat16", "synthesis bfloat16"]
    for row in rows:
        assert row["of_ceiling"] == pytest.approx(row["gflops"] / (200 if "bfloat16" in row["work"] else 100))
        assert row["seconds"] > 0 and row["gflops"] > 0


def test_folder_is_worked_on_in_both_ways_and_comes_out_whole(picture, monkeypatch):
    monkeypatch.setattr(many, "COUNT", 2)
    rows = many.measure("hypmqw2022", picture(64, 64)[0].astype(np.uint8), 1)
    assert [row["work"] for row in rows] == [
        f"hypmqw2022 {command} 2 pictures, {way}" for command in ("compress", "decompress")
        for way in ("one after another", "side by side")]


@pytest.mark.slow
def test_step_of_training_is_measured_in_every_way():
    rows = steps.measure("hypmqw2022", "tiny", 64, 1, batch=1)
    assert len(rows) == len(steps.WAYS) and rows[0]["ratio"] == 1
    assert all(row["pictures_a_second"] == pytest.approx(1 / row["seconds"]) for row in rows)


@pytest.mark.slow
def test_curves_of_training_begin_alike_and_part_by_noise_and_type(picture):
    rows = curves.measure("hypmqw2022", "tiny", picture(80, 90)[0].astype(np.uint8), 64, 2, 4)
    first, *others = rows
    assert len(rows) == len(curves.RUNS) and first["apart"] == 0
    assert all(0 < row["apart"] < 0.5 and row["last"] == row["losses"][-1] for row in others)


def test_broken_picture_is_one_line_and_nothing_is_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.png").write_text("no picture")
    monkeypatch.setattr(sys, "argv", ["bench", str(tmp_path / "text.png"), "--out", str(tmp_path / "bench.json")])
    with pytest.raises(SystemExit) as end:
        bench.main()
    said = capsys.readouterr()
    assert end.value.code == 1 and said.out == ""
    assert said.err.startswith("bench: cannot read") and said.err.count("\n") == 1
    assert not (tmp_path / "bench.json").exists()


def test_table_and_file_hold_every_row(tmp_path, monkeypatch, capsys):
    rows = [{"work": "first", "seconds": 1.5, "ratio": 1.0}, {"work": "second", "seconds": 0.5, "ratio": 3.0}]
    monkeypatch.setattr(bench, "_MEASURES", {**dict.fromkeys(bench.PARTS, lambda a: rows),
                                             "ceiling": lambda a: {"float32": 123.0}})
    monkeypatch.setattr(sys, "argv", ["bench", str(ROOT / "res" / "eval" / "kodim23.png"), "--parts", "warm",
                                      "ceiling", "--out", str(tmp_path / "deep" / "bench.json")])
    bench.main()
    said = capsys.readouterr().out
    assert "123 GFLOP/s" in said and "0.500 s,  3.00 times as fast" in said
    report = json.loads((tmp_path / "deep" / "bench.json").read_text())
    assert report["warm"] == rows and report["machine"]["threads"] > 0 and "cold" not in report
