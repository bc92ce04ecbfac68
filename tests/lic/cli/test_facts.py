"""What `info` tells of an architecture; of files it tells in test_cli.py, of models in test_commands.py."""

from __future__ import annotations

import json
import re

import config
from lic import registry


def test_info_of_a_preset_has_its_parameters_and_its_kmacs(here):
    code, out, err = here("hypmqw2022", "info", "--preset", "tiny", "--json")
    about = json.loads(out)
    assert (code, err, about["parameters"], about["preset"]) == (0, [], 66_451, "tiny")
    assert set(about["kmacs_per_pixel"]) == {
        "analysis", "hyper_analysis", "hyper_synthesis", "context", "synthesis", "encode", "decode"}
    assert about["architecture"] == json.loads(json.dumps(config.as_dict(registry.preset("hypmqw2022", "tiny"))))
    code, out, _ = here("zyc2022", "info", "--preset", "tiny")
    assert code == 0 and re.search(r"^kmacs per pixel +analysis \d", out, re.M)
