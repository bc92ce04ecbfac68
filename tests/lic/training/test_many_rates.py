"""Training of a model of many rates, and from a linear start."""

from __future__ import annotations

import numpy as np
import pytest

from lic import registry, weights
from lic.errors import UsageError
from lic.training import Run, restore_model
from lic.training.settings import check_preset
from tests.lic.training.runs import train

ELIC = "hypmqw2022"


@pytest.fixture(scope="module")
def many():
    return registry.preset(ELIC, "tiny-variable")


@pytest.mark.slow
def test_run_of_many_rates_says_its_lambdas_and_saves_a_model_of_many(many, settings, tmp_path):
    said = train(Run(ELIC, many, settings(epochs=1, steps_per_epoch=2, linear_start=True)))
    assert "tiny-variable" in said[0] and "lambda 0.0004 to 0.08" in said[0]
    model, _ = weights.load(str(tmp_path / "run" / "model"))
    assert model.gains and model.preset.lambdas == many.lambdas
    assert restore_model(str(tmp_path / "run"))[1].preset == many, "also from its checkpoint"


def test_linear_start_makes_other_weights_of_which_a_run_that_goes_on_knows_nothing(many, settings):
    plain, linear = (Run(ELIC, many, settings(train_path=f"{settings().train_path}{n}", linear_start=bool(n)))
                     for n in range(2))
    begun = linear.model.g_a.layers[0].kernel.numpy()
    assert np.abs(begun - plain.model.g_a.layers[0].kernel.numpy()).max() > 0.1
    linear.model.g_a.layers[0].kernel.assign(begun + 1)
    linear.checkpoints.save()
    linear.close()
    resumed = Run(ELIC, many, linear.settings)
    np.testing.assert_array_equal(resumed.model.g_a.layers[0].kernel, begun + 1)


@pytest.mark.parametrize(("fields", "words"), [
    ({"lmbda": 0.02}, "learns lambdas from 0.0004 to 0.08: --lambda goes with presets of one rate"),
    ({"distortion": "ms-ssim", "patchsize": 192}, "--distortion ms-ssim goes with presets of one rate"),
    ({"linear_start": True, "init_from": ELIC}, "two ways to begin")])
def test_settings_that_do_not_go_with_many_rates_are_misuse(many, settings, fields, words):
    with pytest.raises(UsageError, match=words):
        Run(ELIC, many, settings(**fields))


@pytest.mark.parametrize(("name", "possible"), [("tiny", False), ("conv-charm", True), ("nano", True)])
def test_linear_start_is_for_models_whose_resampling_does_not_normalise(name, possible, settings):
    model_class, preset = registry.model_class("zyc2022"), registry.preset("zyc2022", name)
    if possible:
        check_preset(model_class, preset, settings(linear_start=True))
        return
    with pytest.raises(UsageError, match=f"--linear_start does not go with '{name}', whose resampling normalises"):
        check_preset(model_class, preset, settings(linear_start=True))
