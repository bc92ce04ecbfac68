"""What becomes of TensorFlow's errors."""

from __future__ import annotations

import pytest
import tensorflow as tf

from lic.serving.refusals import Code, of_tensorflow

NODES = ("Graph execution error:\n\nDetected at node a/b defined at (most recent call last):\n<stack traces "
         "unavailable>\n{}\n\t [[{{{{node a/b}}}}]] [Op:__inference_signature_wrapper_compress_2]")
ROOTS = ("2 root error(s) found.\n  (0) INVALID_ARGUMENT:  {{function_node f_1}} Input is empty.\n\t [[{{node x}}]]\n"
         "  (1) INVALID_ARGUMENT: other")
CASES = [
    (tf.errors.InvalidArgumentError, NODES.format("Invalid PNG data"), Code.INVALID_ARGUMENT, "Invalid PNG data"),
    (tf.errors.InvalidArgumentError, ROOTS, Code.INVALID_ARGUMENT, "Input is empty."),
    (tf.errors.InvalidArgumentError, NODES.format("assertion failed: [it is broken]"), Code.INVALID_ARGUMENT,
     "it is broken"),
    (tf.errors.ResourceExhaustedError, "OOM when allocating", Code.RESOURCE_EXHAUSTED,
     "the request does not fit into memory: send smaller pictures, or fewer"),
    (tf.errors.UnavailableError, "", Code.INTERNAL, "UnavailableError")]


@pytest.mark.parametrize(("kind", "message", "code", "line"), CASES, ids=range(len(CASES)))
def test_errors_of_tensorflow_are_their_meaning(kind, message, code, line):
    refusal = of_tensorflow(kind(None, None, message))
    assert (refusal.code, str(refusal)) == (code, line)
