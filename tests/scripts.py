"""The scripts that are tested, and where they stand."""

from __future__ import annotations

from pathlib import Path

import config

SCRIPTS = tuple(config.PRESETS)
ROOT = Path(__file__).resolve().parents[1]
