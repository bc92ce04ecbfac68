"""What TensorFlow's errors mean, in a few words: without its stack, and its names of operations and functions."""

from __future__ import annotations

import re

import tensorflow as tf


def reason_of(error: tf.errors.OpError) -> str:
    """Why a file can't be written, say; names of functions stand before the system's words, of operations behind."""
    words = re.sub(r" \[Op:.*", "", (str(error.message).splitlines() or [""])[0])
    return (words.rpartition("; ")[2] or words)[:120]


def first_line(error: tf.errors.OpError) -> str:
    """The line that an assertion in the graph was given."""
    found = re.search(r"assertion failed: \[(.*?)\](\s|$)", str(error.message))
    return found[1] if found else "the file does not decode: it is damaged, or was made under another arithmetic"
