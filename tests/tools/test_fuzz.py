"""The fuzzer finds what it looks for, and a short run of it over the tiny models finds nothing."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from lic import bitstream, weights
from lic.bitstream import Arithmetic, Record
from lic.errors import DataError
from tests.lic.training.runs import MICRO, SCRIPT
from tests.tools import bad_decoders
from tools.fuzz import __main__ as command
from tools.fuzz import campaign, decoders, mutators, report
from tools.fuzz.anatomy import Anatomy, joined, sealed
from tools.fuzz.supervisor import Ending, Limits, Supervisor

START = bitstream.prefix(Arithmetic.PORTABLE, 0x34, 0, b"\1\2\3\4")
RECORDS = [Record(n, (7, 250), (b"hi" * n, bytes([n]) * 200), 1234 + n, (-1, 300, -2 ** 27)[:n]) for n in range(4)]
ONE = Record(1, (9, 0), (b"some string", b"another"), 99, (64, -5))
UNTILED = bitstream.build(START, 96, 80, [ONE], chunks=[("NOTE", b"ok")])
TILED = bitstream.build(START, 100, 80, RECORDS, (64, 64))
FILES = [UNTILED, TILED]


# Mutants -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", FILES, ids=["untiled", "tiled"])
def test_file_taken_apart_and_joined_is_the_file(data):
    assert sealed(Anatomy.of(data).body()) == data


def test_every_field_of_the_format_is_a_piece():
    names = [piece.name for data in FILES for piece in Anatomy.of(data).pieces()]
    assert set(names) == {"magic", "version", "flags", "model code", "quality", "weights id", "width", "height",
                          "tile side", "string count", "chunks length", "chunks", "record length", "phase", "checks",
                          "string length", "escape count", "escape", "string", "seal"}
    assert joined(Anatomy.of(TILED).pieces()) == TILED[:-4]


def test_mutant_follows_from_seed_and_number_alone():
    made = [mutators.mutant(5, number, FILES) for number in range(200)]
    assert made[::-1] == [mutators.mutant(5, number, FILES) for number in range(199, -1, -1)]
    assert made != [mutators.mutant(6, number, FILES) for number in range(200)]


def test_kinds_take_turns_and_nearly_all_mutants_differ_from_their_files():
    made = [mutators.mutant(0, number, FILES) for number in range(20 * len(mutators.KINDS))]
    assert {mutant.kind for mutant in made} == set(mutators.KINDS)
    assert sum(mutant.data in FILES for mutant in made) < len(made) / 10


def test_most_knowing_mutants_get_past_the_parser():
    """Their checksum and lengths are right, or the range decoder would never see them."""
    made = [mutators.mutant(0, number, FILES) for number in range(40 * len(mutators.KINDS))]
    strings = [mutant.data for mutant in made if mutant.kind.startswith("string_")]
    assert len(strings) > 100
    for data in strings:
        bitstream.parse(data)


def test_every_mutant_is_parsed_or_refused_in_one_line():
    for number in range(2000):
        try:
            bitstream.parse(mutators.mutant(1, number, FILES).data)
        except DataError as error:
            assert str(error) and "\n" not in str(error)


# The supervisor ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def supervisor():
    made = Supervisor(bad_decoders.opener, Limits(seconds=3.0, mebibytes=100.0))
    yield made
    made.stop()


@pytest.mark.parametrize(("data", "verdict", "said"), [
    (b"refuse", "refused", "the file is damaged"),
    (b"two lines", "crashed", "not one clear line"),
    (b"raise", "crashed", "KeyError: 'width'"),
    (b"segfault", "crashed", "ended with -11"),
    (b"exit", "crashed", "ended with 0"),
    (b"hang", "slow", "more than 3 s"),
    (b"hog", "memory", "more than 100 MiB"),
    (b"hog and hang", "memory", "more than 100 MiB"),
])
def test_supervisor_blames_the_file_and_goes_on(supervisor, data, verdict, said):
    ending = supervisor.decode("any", data)
    assert ending.verdict == verdict and said in ending.said
    assert supervisor.decode("any", b"sound").verdict == "picture"


def test_decoder_that_does_not_load_is_no_fault_of_a_file():
    with pytest.raises(RuntimeError, match="does not load"):
        Supervisor(partial(decoders.opener, "nowhere"), Limits()).decode("no such model", b"")


def test_picture_of_another_kind_is_wrong_unless_the_file_is_sound(monkeypatch):
    monkeypatch.setattr(campaign, "mutant", lambda seed, number, files: mutators.Mutant(
        "made up", 0, [b"wrong", b"sound", UNTILED][number]))
    findings = campaign.run(bad_decoders.opener, {"any": FILES}, range(3), workers=1)
    assert [finding.verdict for finding in findings] == ["WRONG", "right", "right"]
    other = bitstream.build(START, 97, 80, [ONE])
    assert campaign.is_sound(other, FILES)
    assert not campaign.is_sound(bitstream.build(START, 97, 80, [Record(0, (7, 251), (b"", b"x"), 1)]), FILES)


# Reports -----------------------------------------------------------------------------------------------------------

def finding(verdict: str) -> campaign.Finding:
    return campaign.Finding(3, "export:lsk2023", mutators.Mutant("cut, sealed", 0, b"abc"), verdict,
                            Ending(verdict, "tile 3 of 4: weights id 0123abcd"))


@pytest.mark.parametrize("verdict", [*campaign.GOOD, *campaign.BAD])
def test_table_counts_what_may_not_happen_as_failures(verdict):
    tally = report.Tally()
    tally.add(finding(verdict))
    assert tally.failures == (verdict in campaign.BAD)
    assert f"{verdict}: tile # of #: weights id #" in tally.text()


def test_failing_file_is_kept_with_its_seed_and_number(tmp_path):
    path = campaign.keep(finding("slow"), tmp_path / "new", 9)
    assert path.read_bytes() == b"abc"
    assert path.name == "seed9-3-cut-sealed-export-lsk2023-slow.tfci"


# Runs --------------------------------------------------------------------------------------------------------------

def run(tmp_path: Path, capsys, *arguments: str) -> tuple[int, str]:
    code = command.main([*arguments, "--keep", str(tmp_path / "kept")])
    return code, capsys.readouterr().out


def test_short_run_finds_nothing(tmp_path, lively, capsys):
    model = lively(SCRIPT, MICRO)
    model.freeze()
    weights.save(model, SCRIPT, str(tmp_path / "model"))
    code, out = run(tmp_path, capsys, "--mutants", "88", "--models", str(tmp_path / "model"), "--workers", "1")
    assert re.search(r"^88 mutants, ", out, re.M)
    assert code == 0 and not (tmp_path / "kept").exists(), out
