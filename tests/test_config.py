"""Presets: their exact sizes, their codes, and that nothing in them is decoration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import config
from config import PRESETS

# Parameters of g_a, g_s, h_a, h_s and the context; the factorised prior of z is left out, since its size depends on
# who wrote it (prior_filters). Those of TCM, conv-*, swint-*-tbtc, elic-official and elic-chandelier are the sizes of
# the PyTorch models; those of swint-charm and elic are the published TensorFlow scripts'.
PARAMETERS = {
    ("lsk2023", "large"): 76_556_436,
    ("lsk2023", "medium"): 59_121_938,
    ("lsk2023", "small"): 45_169_040,
    ("lsk2023", "nano"): 3_957_180,
    ("lsk2023", "tiny"): 131_392,
    ("zyc2022", "swint-charm"): 32_550_864,
    ("zyc2022", "swint-charm-tbtc"): 32_326_172,
    ("zyc2022", "swint-hyperprior"): 24_633_296,
    ("zyc2022", "conv-charm"): 29_066_319,
    ("zyc2022", "conv-hyperprior"): 21_373_443,
    ("zyc2022", "nano"): 2_950_602,
    ("zyc2022", "tiny"): 44_074,
    ("hypmqw2022", "elic"): 36_568_131,
    ("hypmqw2022", "elic-official"): 32_062_488,
    ("hypmqw2022", "elic-chandelier"): 33_781_059,
    ("hypmqw2022", "nano"): 3_848_979,
    ("hypmqw2022", "tiny"): 66_451,
}

# A code stands in files: it is never given to another preset.
CODES = {
    0x10: ("lsk2023", "large"), 0x11: ("lsk2023", "medium"), 0x12: ("lsk2023", "small"), 0x13: ("lsk2023", "nano"),
    0x14: ("lsk2023", "tiny"),
    0x20: ("zyc2022", "swint-charm"), 0x21: ("zyc2022", "swint-charm-tbtc"), 0x22: ("zyc2022", "swint-hyperprior"),
    0x23: ("zyc2022", "conv-charm"), 0x24: ("zyc2022", "conv-hyperprior"), 0x25: ("zyc2022", "nano"),
    0x26: ("zyc2022", "tiny"),
    0x30: ("hypmqw2022", "elic"), 0x31: ("hypmqw2022", "elic-official"), 0x32: ("hypmqw2022", "elic-chandelier"),
    0x33: ("hypmqw2022", "nano"), 0x34: ("hypmqw2022", "tiny"),
}  # fmt: skip

ALL = [(script, preset) for script, presets in PRESETS.items() for preset in presets.values()]
IDS = [f"{script}-{preset.name}" for script, preset in ALL]


def parameters(variables) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)


@pytest.mark.parametrize(("script", "preset"), ALL, ids=IDS)
def test_preset_has_exactly_its_parameters(build, script, preset):
    model = build(script, preset)
    prior = parameters(model.prior.trainable_variables)
    assert parameters(model.trainable_variables) - prior == PARAMETERS[script, preset.name]
    # Balle et al. 2018, 6.1: matrices, biases and factors of a chain 1-f-..-f-1 for each channel.
    widths = (1, *preset.prior_filters, 1)
    chain = sum(a * b + 2 * b for a, b in zip(widths, widths[1:])) - 1
    assert prior == preset.hyper_depth * chain


def test_no_preset_lacks_a_count_and_no_count_a_preset():
    assert set(PARAMETERS) == {(script, preset.name) for script, preset in ALL}


def test_codes_are_unique_and_the_ones_that_files_carry():
    assert {preset.code: (script, preset.name) for script, preset in ALL} == CODES
    assert len(CODES) == len(ALL)


def test_code_leads_back_to_its_preset():
    for script, preset in ALL:
        assert config.by_code(preset.code) == (script, preset)
    assert config.by_code(0xFF) is None


def test_code_is_one_byte_whose_upper_half_is_the_script():
    for number, script in enumerate(PRESETS, 1):
        assert {preset.code >> 4 for preset in PRESETS[script].values()} == {number}


def test_default_preset_is_the_one_of_the_paper():
    assert [config.default_preset(s).name for s in PRESETS] == ["large", "swint-charm", "elic"]


def test_names_are_unique_in_a_script_and_each_has_tiny_and_nano():
    for script, group in zip(PRESETS, (config.LSK2023, config.ZYC2022, config.HYPMQW2022)):
        assert len(PRESETS[script]) == len(group)
        assert {"tiny", "nano"} <= set(PRESETS[script])


def test_nothing_in_a_preset_can_be_changed_and_no_preset_can_be_added():
    for script, preset in ALL:
        for frozen in (preset, preset.conventions):
            for field in dataclasses.fields(frozen):
                with pytest.raises(dataclasses.FrozenInstanceError):
                    setattr(frozen, field.name, None)
        hash(preset)   # a list or a dict in a preset could be changed, and has no hash
        with pytest.raises(TypeError):
            PRESETS[script]["mine"] = preset
    with pytest.raises(TypeError):
        PRESETS["mine"] = {}


def test_convention_of_an_unknown_kind_is_refused():
    for field in dataclasses.fields(config.Conventions):
        with pytest.raises(ValueError, match=field.name):
            config.Conventions(**{field.name: "other"})


def test_hidden_widths_of_charm_are_the_published_ones():
    assert config.charm_hidden(10) == (
        (32, 32), (53, 42), (74, 53), (96, 64), (117, 74), (138, 85), (160, 96), (181, 106), (202, 117), (224, 128))


class Recorder:
    """A preset that notes which of its fields are read."""

    def __init__(self, of, seen: set, conventions=None):
        self._of, self._seen, self._conventions = of, seen, conventions

    def __getattr__(self, name):
        self._seen.add(name)
        return self._conventions if name == "conventions" else getattr(self._of, name)


def test_every_field_of_a_preset_is_read_by_the_models():
    import importlib
    every_convention = set()
    for script in PRESETS:
        seen = set()
        for preset in PRESETS[script].values():
            conventions = Recorder(preset.conventions, every_convention)
            importlib.import_module(script).Model(Recorder(preset, seen, conventions))
        fields = {field.name for field in dataclasses.fields(preset)}
        assert fields - seen == {"code", "bytes_per_pixel"}, f"{script} doesn't read {fields - seen}"
    assert every_convention == {field.name for field in dataclasses.fields(config.Conventions)}


def test_every_setting_says_what_it_does_and_choices_belong_to_settings():
    fields = {field.name: field for of in (config.Runtime, config.Training) for field in dataclasses.fields(of)}
    assert all(len(field.metadata["help"]) > 10 for field in fields.values())
    for name, allowed in config.CHOICES.items():
        assert fields[name].default in allowed


def test_preset_as_dict_holds_all_of_it():
    import json
    for _, preset in ALL:
        stored = json.loads(json.dumps(config.as_dict(preset)))
        assert stored["conventions"] == dataclasses.asdict(preset.conventions)
        assert set(stored) == {field.name for field in dataclasses.fields(preset)}


def test_preset_comes_back_from_its_dict_by_way_of_json():
    import json
    for script, preset in ALL:
        stored = json.loads(json.dumps(config.as_dict(preset)))
        back = config.from_dict(script, stored)
        assert back == preset and back.bytes_per_pixel == preset.bytes_per_pixel


@pytest.mark.parametrize("change", [{"latent_depth": "16"}, {"latent_depth": True}, {"prior_filters": 3},
                                    {"heads": "4"}, {"slice_hidden": [["a", 1]]}, {"conventions": {"sigma": "loud"}},
                                    {"colour": 3}])
def test_dict_that_is_no_preset_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        config.from_dict("zyc2022", {**config.as_dict(config.default_preset("zyc2022")), **change})


def test_every_preset_says_what_its_coding_takes_of_memory():
    """Measured by `python -m tools.memory`; a preset without it is taken for the largest."""
    default = config.Preset("any", 0).bytes_per_pixel
    for presets in config.PRESETS.values():
        for preset in presets.values():
            assert 0 < preset.bytes_per_pixel <= default
            assert preset.name == "large" or preset.bytes_per_pixel < default, preset.name
