"""What a client gets instead of an answer: a status code of gRPC and one line."""

from __future__ import annotations

import re
from types import MappingProxyType

import grpc
import tensorflow as tf

from lic import op_errors

Code = grpc.StatusCode

# As the stock server translates them.
HTTP = MappingProxyType({
    Code.OK: 200, Code.CANCELLED: 499, Code.INVALID_ARGUMENT: 400, Code.FAILED_PRECONDITION: 400, Code.NOT_FOUND: 404,
    Code.DEADLINE_EXCEEDED: 504, Code.RESOURCE_EXHAUSTED: 429, Code.UNAVAILABLE: 503, Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500})

_ABOUT_NODES = re.compile(r"Graph execution error|Detected at node|<stack traces|\d+ root error|\s*$|\s*\[\[")
_TAIL = re.compile(r"\s*\[Op:\w+\]\s*$")
_HEAD = re.compile(r"^\s*(\(\d+\)\s+)?([A-Z_]+:\s+)?(\{\{\w+ [^}]*\}\}\s*)*")


class Refusal(Exception):
    """A request that gets no answer; its text is one line for the client.

    Args:
      http: the status of HTTP, where that has one of its own for this.
    """

    def __init__(self, code: grpc.StatusCode, line: str, http: int | None = None):
        super().__init__(line)
        self.code, self.http = code, http or HTTP[code]


def of_tensorflow(error: tf.errors.OpError) -> Refusal:
    """A failed operation, in its own words but without TensorFlow's names of nodes and functions."""
    if isinstance(error, tf.errors.InvalidArgumentError):
        return Refusal(Code.INVALID_ARGUMENT, _meaning(error))
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return Refusal(Code.RESOURCE_EXHAUSTED, "the request does not fit into memory: send smaller pictures, or fewer")
    return Refusal(Code.INTERNAL, _meaning(error))


def _meaning(error: tf.errors.OpError) -> str:
    text = str(error.message)
    if "assertion failed: [" in text:
        return op_errors.first_line(error)
    lines = [line for line in text.splitlines() if not _ABOUT_NODES.match(line)]
    return _HEAD.sub("", _TAIL.sub("", lines[0])) if lines else type(error).__name__
