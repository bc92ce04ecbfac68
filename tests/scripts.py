"""The scripts that are tested, and where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

import config

SCRIPTS = tuple(config.PRESETS)


def _slow_but(*quick: str) -> tuple:
    """All scripts, of which some are for the quick tests."""
    return tuple(s if s in quick else pytest.param(s, marks=pytest.mark.slow) for s in SCRIPTS)


# For tests that trace or store graphs: those of a TCM take as long as those of the two others.
WITHOUT_TCM = _slow_but("zyc2022", "hypmqw2022")
ELIC_ALONE = _slow_but("hypmqw2022")   # for those that export models
ROOT = Path(__file__).resolve().parents[1]
