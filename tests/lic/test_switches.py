"""An arithmetic as files and as users name it."""

from __future__ import annotations

import pytest

from lic import switches
from lic.arithmetic import ARITHMETICS
from lic.bitstream import Arithmetic


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_switches_of_an_arithmetic_give_it(arithmetic):
    given = switches.switches_of(arithmetic)
    assert given["arithmetic"] in ARITHMETICS and switches.arithmetic_of(**given) is arithmetic


def test_tf32_decides_no_portable_symbol():
    assert switches.arithmetic_of("portable", True) is Arithmetic.PORTABLE
