"""Where the learning rate falls."""

from __future__ import annotations

import pytest

from lic.drops import drops_of
from lic.errors import UsageError


@pytest.mark.parametrize("schedule, drops",
                         [("drop", (0.9,)), ("cosine", ()), ("constant", ()), ("multistep", (0.5, 0.8))])
def test_each_schedule_has_its_drops(schedule, drops):
    assert drops_of(schedule, "0.5,0.8") == drops


@pytest.mark.parametrize("text", ["", "x", "0.5,", "0.8,0.5", "0.5,0.5", "0", "1", "-0.1,0.5", "nan", "50,80"])
def test_steps_that_are_no_rising_fractions_are_a_wrong_flag(text):
    with pytest.raises(UsageError, match=r"--lr_steps '.*' are not rising fractions between 0 and 1"):
        drops_of("multistep", text)
