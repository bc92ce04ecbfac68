"""`python -m lic.portability`: what its processes find, what it counts, and how it ends."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from lic.portability import __main__ as command
from lic.portability import configurations, crew, figures, report
from lic.portability.configurations import Configuration

PICTURE = "0000"
SOUND = (Configuration("one-thread", switches={"threads": 1}),
         Configuration("no-onednn", {"TF_ENABLE_ONEDNN_OPTS": "0"}))
ROUGH = Configuration("rough", switches={"precision": "bfloat16"})           # its pixels are far off
FOREIGN = Configuration("foreign", switches={"arithmetic": "float32"})       # nobody reads its files, it reads nobody's


@pytest.fixture(scope="module")
def pictures(picture, tmp_path_factory) -> str:
    """Two files of the same picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(2):
        Image.fromarray(picture(64, 64)[0].astype(np.uint8)).save(folder / f"{number}.png")
    return str(folder / "*.png")


@pytest.fixture(scope="module")
def measured(saved, pictures, tmp_path_factory):
    """measured(configurations, *flags): (exit code, portability.json) of a run with a tiny model."""
    def run(table, *flags):
        out = tmp_path_factory.mktemp("out")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(configurations, "CONFIGURATIONS", tuple(table))
            code = command.main([pictures, "--models", str(saved["hypmqw2022"]), "--jobs", "4", "--out", str(out),
                                 *flags])
        return code, json.loads((out / "portability.json").read_text())

    return run


@pytest.fixture(scope="module")
def broken(measured):
    """One run for the quick tests: of its two configurations one doesn't compute as it should."""
    return measured((SOUND[1], ROUGH), "--arithmetic", "portable")


def pairs_of(result, arithmetic="portable"):
    return result["pairs"]["hypmqw2022"][arithmetic]


def test_every_pair_is_counted_though_files_with_the_same_bytes_are_decoded_once(broken):
    found = pairs_of(broken[1])
    assert (found["files"], found["distinct"], found["pairs"], found["refused"]) == (4, 2, 4, 0)
    assert found["samples"] == found["pairs"] * 64 * 64 * 3


def test_configuration_whose_pixels_are_far_off_is_counted_and_fails_the_run(broken):
    code, result = broken
    found = pairs_of(result)
    assert code == 1 and not result["passed"] and not result["failures"]
    assert found["mismatches"] == found["pairs"]
    assert found["largest"] > 1 and 0 < found["samples_differ"] < found["samples"]


def test_report_says_what_was_measured_and_on_what(broken):
    _, result = broken
    assert result["pictures"] == ["0.png", "1.png"] and result["versions"]["tensorflow"]
    assert result["machine"]["cores"] >= 1 and isinstance(result["machine"]["flags"], list)
    assert [c["name"] for c in result["configurations"]] == ["no-onednn", "rough"]
    assert result["configurations"][0]["environment"] == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    text = report.markdown(result)
    assert "| hypmqw2022 | portable | 4 (2) " in text and "TF_ENABLE_ONEDNN_OPTS=0" in text


@pytest.mark.slow
def test_foreign_arithmetic_is_counted_as_refused_and_fails_the_run(measured):
    code, result = measured((SOUND[0], FOREIGN), "--arithmetic", "portable")
    found = pairs_of(result)
    assert code == 1 and not result["passed"]
    assert (found["refused"], found["refused_by_maker"], found["mismatches"]) == (4, 0, 0)
    assert "give the same flags" in found["why"]


@pytest.mark.slow
def test_configurations_that_compute_alike_decode_one_another(measured):
    code, result = measured((*SOUND, Configuration("batch", kind="batch"), Configuration("saved", kind="saved")))
    assert code == 0 and result["passed"]
    assert [pairs_of(result, a)["pairs"] for a in ("portable", "float32")] == [24, 24]
    assert (pairs_of(result)["refused"], pairs_of(result)["mismatches"]) == (0, 0)


@pytest.mark.slow
def test_configuration_that_does_not_run_is_one_line_and_fails_the_run(measured, capsys):
    code, result = measured((Configuration("odd", switches={"no_such_switch": 1}),), "--arithmetic", "portable")
    assert code == 1 and result["failures"][0].startswith("configuration 'odd' failed to encode: exit code 1: ")
    assert "no_such_switch" in result["failures"][0] and result["failures"][0] in capsys.readouterr().err


@pytest.mark.slow
def test_deviation_and_rate_stand_in_the_report(measured, capsys):
    code, result = measured(SOUND, "--skip_pairs", "--deviation", "--rate")
    of = result["deviation"]["hypmqw2022"]
    assert code == 0 and "pairs" not in result
    assert set(of["portable"]) == {"location", "index"} and set(of["float32"]) == {"index"}
    assert of["portable"]["location"]["values"] == 16 * 4 * 4
    assert of["portable"]["index"]["largest"] < 1e-9 and of["portable"]["location"]["flips"] == 0
    rate = result["rate"]["hypmqw2022"]
    assert len(rate) == 4 and all(0.5 < size / rate["float32"] < 2 for size in rate.values())
    assert "flips a picture" in capsys.readouterr().out


@pytest.mark.slow
def test_every_configuration_of_the_table_runs_and_decodes_every_other(saved, pictures, tmp_path):
    assert command.main([pictures, "--models", str(saved["zyc2022"]), "--out", str(tmp_path), "--jobs", "2",
                         "--arithmetic", "portable"]) == 0


# Without processes ------------------------------------------------------------------------------------------------

def test_environment_of_a_configuration_is_all_that_is_said_to_tensorflow(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("XLA_FLAGS", "--nonsense")
    variables = SOUND[1].variables()
    assert variables["TF_ENABLE_ONEDNN_OPTS"] == "0" and variables["CUDA_VISIBLE_DEVICES"] == ""
    assert "ONEDNN_MAX_CPU_ISA" not in variables and "XLA_FLAGS" not in variables and "PATH" in variables


@pytest.mark.parametrize(("arguments", "said"), [
    (["--configurations", "nonsense"], "no configuration 'nonsense': choose from threads-1, "),
    (["no-such-*.png"], "'no-such-*.png' matches no picture"),
    (["line\nbreak"], "portability: 'line\\nbreak' matches no picture"),
    (["--nonsense"], "portability: unrecognized arguments: --nonsense (see --help)")])
def test_misuse_is_one_line_and_exit_code_two(arguments, said, capsys):
    try:
        ended = command.main(arguments)
    except SystemExit as end:
        ended = end.code
    told = capsys.readouterr().err
    assert ended == 2 and said in told and told.count("\n") == 1


def test_model_that_is_not_there_is_one_line(capsys, tmp_path):
    assert command.main(["--models", str(tmp_path / "none")]) == 1
    assert "no model in" in capsys.readouterr().err


@pytest.mark.parametrize(("program", "said"), [
    ("import time; time.sleep(60)", "no step in 0.5 seconds"),
    ("import sys; sys.exit('a reason\\n')", "exit code 1: a reason"),
    ("import os; os.abort()", "exit code -6: it said nothing"),
    ("pass", "it left no result")])
def test_process_that_hangs_or_ends_badly_is_one_line(program, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(crew, "PATIENCE", 0.5)
    monkeypatch.setattr(crew, "_COMMAND", (sys.executable, "-c", program))
    workers = crew.Crew(str(tmp_path), [], {}, [])
    assert workers.run("encode", SOUND[:1], 1) == {}
    assert workers.failures == [f"configuration 'one-thread' failed to encode: {said}"]
    assert workers.failures[0] in capsys.readouterr().err


def stored_predictions(folder, key, **values):
    for configuration, array in values.items():
        place = folder / "predictions" / configuration
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{key}-location.npy", np.asarray(array))


def test_deviation_is_what_was_put_in(tmp_path):
    step = 2.0 ** -8
    stored_predictions(tmp_path, PICTURE, a=[0.25 * step, 3 * step], b=[0.25 * step, 3.125 * step],
                       c=[0.25 * step, 2.875 * step])
    found = figures.deviation(str(tmp_path), "location", step, ["a", "b", "c"], [PICTURE])
    assert (found.values, found.flips, found.nearest_tie) == (2, 0, 0.25)
    assert (found.largest, found.largest_absolute, found.bound) == (0.25, 0.25 * step, 0.5)
    assert found.expected == pytest.approx((0.125 + 0.125 + 0.25) / 3) and found.expected_worst == 0.25
    assert found.mean == pytest.approx(found.expected / 2)


def test_value_that_straddles_a_tie_is_a_flip(tmp_path):
    stored_predictions(tmp_path, PICTURE, a=[0.4999, 7.0], b=[0.5001, 7.0])
    assert figures.deviation(str(tmp_path), "location", 1.0, ["a", "b"], [PICTURE]).flips == 1


def test_expected_flips_are_those_that_uniform_positions_give(tmp_path):
    """Two values d apart straddle a tie in a fraction d of all places of the grid."""
    x = np.random.default_rng(0).uniform(0, 100, 200_000)
    stored_predictions(tmp_path, PICTURE, a=x, b=x + 0.01)
    found = figures.deviation(str(tmp_path), "location", 1.0, ["a", "b"], [PICTURE])
    assert found.expected == pytest.approx(2000) and found.flips == pytest.approx(2000, abs=4 * np.sqrt(2000))


def test_one_configuration_has_nothing_to_deviate_from(tmp_path):
    assert figures.deviation(str(tmp_path), "location", 1.0, ["a"], [PICTURE]) is None
