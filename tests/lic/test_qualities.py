"""The quality that a file will have."""

from __future__ import annotations

import pytest

from lic import registry
from lic.corpus import __main__ as command
from lic.errors import UsageError
from lic.qualities import settled

MANY, ONE = (registry.preset("lsk2023", name) for name in ("nano-variable", "nano"))


@pytest.mark.parametrize(("asked", "given"), [(None, 50), (1, 1), (30.2, 30), (30.3, 30.5), (100, 100)])
def test_quality_is_kept_in_halves(asked, given):
    assert settled(asked, MANY) == given and settled(given, MANY) == given


@pytest.mark.parametrize("asked", [0, 0.9, 100.1, -1, float("nan"), float("inf")])
def test_quality_beyond_the_range_is_misuse(asked):
    with pytest.raises(UsageError, match=r"is not within 1\.\.100"):
        settled(asked, MANY)


@pytest.mark.parametrize("asked", ["30", [30], b"30"])
def test_quality_that_is_no_number_is_misuse(asked):
    with pytest.raises(UsageError, match="is no number"):
        settled(asked, MANY)


def test_model_of_one_rate_has_none():
    assert settled(None, ONE) == 0
    with pytest.raises(UsageError, match="one rate and takes no quality"):
        settled(30, ONE)


def test_corpus_does_nothing_again_for_a_quality_that_gives_the_same_files():
    labels = {command._label(command.parser().parse_args(["compress", "*.png", "out", "--quality", quality]))
              for quality in ("30", "30.2", "29.9")}
    assert len(labels) == 1 and labels.pop().endswith("quality 30")
