"""What a model.json says of an architecture, and what is made of that."""

from __future__ import annotations

import dataclasses
import json

import pytest

import config
from lic import registry
from lic.errors import DataError, UsageError
from tests.scripts import SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_named_preset_is_told_by_its_name_alone(script):
    for plain in config.PRESETS[script].values():
        for preset in (plain, config.variable(plain)):
            about = registry.describe(script, preset)
            assert about == {"script": script, "preset": preset.name} and registry.described(about) == preset


@pytest.mark.parametrize("script", SCRIPTS)
def test_preset_of_no_name_is_told_in_full(script):
    """Also one that has a preset's name and other sizes."""
    for name in ("custom", "tiny"):
        preset = dataclasses.replace(config.PRESETS[script]["tiny"], name=name, latent_depth=32)
        about = json.loads(json.dumps(registry.describe(script, preset)))
        assert about["architecture"]["latent_depth"] == 32 and registry.described(about) == preset


@pytest.mark.parametrize("architecture", [3, [], {}, {"name": "custom"}, {"name": "x", "code": 1, "conventions": []}])
def test_architecture_that_is_none_is_refused(architecture):
    with pytest.raises(DataError, match="describes no model of lsk2023"):
        registry.described({"script": "lsk2023", "preset": "custom", "architecture": architecture})


def test_unknown_script_or_preset_is_refused():
    for about in ({"script": "os", "preset": "tiny", "architecture": {}}, {"script": "lsk2023", "preset": "custom"}):
        with pytest.raises(UsageError):
            registry.described(about)
