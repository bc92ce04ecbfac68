"""Models as curves: what belongs together, what its name is, and what qualities it is put through."""

from __future__ import annotations

import numpy as np
import pytest

from lic.errors import UsageError
from lic.evaluation import learned


def test_model_of_variable_rate_is_put_through_each_quality_in_rising_order(fake, picture):
    settings = learned.settings([fake("lsk2023", "nano", "aa", variable=True)], (90, 10, 50.5, 10))
    assert [s.quality for s in settings] == [10, 50.5, 90] and {s.codec for s in settings} == {"lsk2023 nano"}
    pixels = picture(64, 64)[0].astype(np.uint8)
    sizes = [len(s.encode(pixels)) for s in settings]
    assert sizes == sorted(set(sizes))
    assert all(s.decode(s.encode(pixels)).shape == pixels.shape for s in settings)


def test_model_of_variable_rate_has_five_qualities_unless_told(fake):
    settings = learned.settings([fake("lsk2023", "nano", "aa", variable=True)], None)
    assert [s.quality for s in settings] == [10, 30, 50, 70, 90]


def test_models_of_one_rate_and_one_preset_are_one_curve(fake):
    settings = learned.settings([fake("lsk2023", "nano", w) for w in "abc"] + [fake("lsk2023", "tiny", "d")], None)
    assert [(s.codec, s.model, s.quality) for s in settings] == [
        ("lsk2023 nano", "a", None), ("lsk2023 nano", "b", None), ("lsk2023 nano", "c", None),
        ("lsk2023 tiny", "d", None)]


def test_curves_of_one_preset_are_told_apart(fake):
    codecs = [fake("lsk2023", "nano", "a", variable=True), fake("lsk2023", "nano", "b", variable=True),
              fake("lsk2023", "nano", "c"), fake("lsk2023", "nano", "d"), fake("zyc2022", "nano", "e")]
    assert list(dict.fromkeys(s.codec for s in learned.settings(codecs, None))) == [
        "lsk2023 nano a", "lsk2023 nano b", "lsk2023 nano of fixed rates", "zyc2022 nano"]
    assert [about["curve"] for about in learned.about(codecs)] == [
        "lsk2023 nano a", "lsk2023 nano b", *["lsk2023 nano of fixed rates"] * 2, "zyc2022 nano"]


def test_quality_is_refused_where_no_model_takes_one(fake):
    with pytest.raises(UsageError, match="one rate: leave --quality out"):
        learned.settings([fake("lsk2023", "nano", "a")], (50,))


def test_quality_is_for_those_models_that_take_one(fake):
    settings = learned.settings([fake("lsk2023", "nano", "a"), fake("zyc2022", "nano", "b", variable=True)], (50,))
    assert [s.quality for s in settings] == [None, 50]


def test_same_model_twice_is_refused(fake):
    with pytest.raises(UsageError, match="model a is given 2 times"):
        learned.settings([fake("lsk2023", "nano", "a"), fake("lsk2023", "nano", "a")], None)
