"""What TensorFlow's errors mean, in a few words."""

from __future__ import annotations

import pytest
import tensorflow as tf

from lic import op_errors


@pytest.mark.parametrize(("message", "reason"), [
    ("{{function_node f}} a/b.tmp; No space left on device [Op:SaveV2]\nand a stack", "No space left on device"),
    ("No such thing [Op:Open] name: x", "No such thing"), ("ends in; ", "ends in; "), ("x" * 500, "x" * 120), ("", "")])
def test_reason_is_what_the_system_says(message, reason):
    assert op_errors.reason_of(tf.errors.UnknownError(None, None, message)) == reason


def test_line_of_an_assertion_is_what_it_was_given():
    asserted = "assertion failed: [the file is cut] [[{{node x}}]]"
    for message, line in ((asserted, "the file is cut"), ("Input is empty", "the file does not decode: it is damaged")):
        assert op_errors.first_line(tf.errors.InvalidArgumentError(None, None, message)).startswith(line)
