"""What a file says of its arithmetic, and the switches that stand for it: --arithmetic and --tf32."""

from __future__ import annotations

from lic.bitstream import Arithmetic

_SWITCHES = {Arithmetic.PORTABLE: ("portable", False), Arithmetic.FLOAT32: ("float32", False),
             Arithmetic.TF32: ("float32", True)}
_ARITHMETICS = {switches: arithmetic for arithmetic, switches in _SWITCHES.items()}


def arithmetic_of(arithmetic: str, tf32: bool) -> Arithmetic:
    """What files say that are made with these switches; of portable symbols TF32 decides none."""
    return _ARITHMETICS[arithmetic, bool(tf32) and arithmetic == "float32"]


def switches_of(arithmetic: Arithmetic) -> dict:
    """The fields of `config.Runtime` with which a file of this arithmetic is decoded."""
    name, tf32 = _SWITCHES[arithmetic]
    return {"arithmetic": name, "tf32": tf32}


def flags_of(arithmetic: Arithmetic) -> str:
    """The same as flags."""
    name, tf32 = _SWITCHES[arithmetic]
    return f"--arithmetic {name}" + (" --tf32" if tf32 else "")
