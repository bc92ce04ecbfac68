"""Settings that make no sense."""

from __future__ import annotations

import math
import os

import pytest

from lic.errors import UsageError
from tests.lic.training.runs import run_of


@pytest.mark.parametrize(("fields", "words"), [
    ({"epochs": 0}, "--epochs must be at least 1"),
    ({"steps_per_epoch": -3}, "--steps_per_epoch must be at least 1"),
    ({"batchsize": 0}, "--batchsize"), ({"patchsize": 0}, "--patchsize"), ({"preprocess_threads": 0}, "--preprocess"),
    ({"lmbda": -1.0}, "--lambda must be a positive number"), ({"lmbda": math.nan}, "--lambda"),
    ({"learning_rate": 0.0}, "--learning_rate"), ({"learning_rate": math.inf}, "--learning_rate"),
    ({"clip_norm": -1.0}, "--clip_norm"), ({"warmup_steps": -1}, "--warmup_steps"),
    ({"ema": 1.0}, "--ema"), ({"ema": math.nan}, "--ema"), ({"seed": -1}, "--seed"), ({"seed": 2 ** 32}, "--seed"),
    ({"lr_schedule": "linear"}, "'linear' is not one of drop, multistep, cosine, constant"),
    ({"precision_policy": "float16"}, "'float16' is not one of float32, mixed_bfloat16"),
    ({"distortion": "psnr"}, "'psnr' is not one of mse, ms-ssim"), ({"minutes": -1.0}, "--minutes"),
    ({"lr_schedule": "multistep", "lr_steps": "2"}, "--lr_steps '2'"),
    ({"distortion": "ms-ssim", "patchsize": 160}, "--distortion ms-ssim needs a --patchsize of at least 161"),
    ({"train_glob": "nowhere/*.jpg"}, "matches no JPEG"), ({"train_path": ""}, "--train_path is empty"),
    ({"batchsize": 10 ** 20}, "--batchsize must be at least 1 and at most 1048576"),
    ({"preprocess_threads": 10 ** 13}, "--preprocess_threads must be at least 1 and at most 1024"),
    ({"warmup_steps": 10 ** 40}, "--warmup_steps must be at most 2147483647"),
])
def test_wrong_value_is_misuse_in_a_line_and_leaves_nothing_behind(settings, tmp_path, fields, words):
    with pytest.raises(UsageError) as error:
        run_of(settings(**fields))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not os.listdir(tmp_path)


def test_similarity_is_not_trained_in_arithmetic_that_is_too_coarse_for_it(settings):
    with pytest.raises(UsageError, match="--tf32 is too coarse"):
        run_of(settings(distortion="ms-ssim", patchsize=192), tf32=True)
