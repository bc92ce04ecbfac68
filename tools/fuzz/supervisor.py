"""Decoders in processes of their own: one that crashes, hangs or eats memory ends alone, and the file is to blame.

Gotchas:
* Time counts from when the decoder has the file, not while a decoder is loaded.
* Memory is the peak of the resident set while a file is decoded, over what the process had when its decoder was loaded
  and warm. It comes from /proc, so only on Linux; elsewhere nothing is blamed for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import re
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lic.errors import DataError

Decoder = Callable[[bytes], np.ndarray]
Opener = Callable[[str], Decoder]  # the name of a decoder -> a decoder that is warm; raises DataError for a refusal

LOADING = 600  # seconds that a decoder may take until it is warm
_TICK = 0.05  # seconds between two looks at a decoder that is busy


class Limits(NamedTuple):
    """What a file may cost."""

    seconds: float = 10.0
    mebibytes: float = 1024.0


LIMITS = Limits()


class Ending(NamedTuple):
    """How a file ended.

    Attributes:
      verdict: "picture", "refused", "crashed", "slow" or "memory".
      said: the message of a refusal, or what crashed.
      picture: fingerprint of the picture, see `fingerprint`.
      seconds, mebibytes: what it took.
    """

    verdict: str
    said: str = ""
    picture: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0


def fingerprint(pixels: np.ndarray) -> str:
    """Equal for equal pictures only."""
    return f"{pixels.shape[1]}x{pixels.shape[0]} {hashlib.sha256(pixels.tobytes()).hexdigest()[:16]}"


class Supervisor:
    """Runs one decoder process, and another where that one ended.

    Args:
      opener: runs in the process; has to be importable there.
      limits: what a file may cost.
    """

    def __init__(self, opener: Opener, limits: Limits):
        self._opener, self._limits = opener, limits
        self._process: SpawnProcess | None = None

    def decode(self, name: str, data: bytes) -> Ending:
        """Gives a file to the decoder with this name."""
        process = self._process or self._started()
        self._pipe.send((name, data))
        ending = self._watch(process, self._base_when_loaded())
        if ending.verdict in ("slow", "memory") or not process.is_alive():
            self.stop()
        return ending

    def stop(self) -> None:
        """Ends the process."""
        if self._process:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def _started(self) -> SpawnProcess:
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow's threads may hang
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, self._opener), daemon=True)
        self._process.start()
        theirs.close()
        return self._process

    def _base_when_loaded(self) -> float:
        try:
            if self._pipe.poll(LOADING):
                return self._pipe.recv()
        except EOFError:
            pass
        self.stop()
        raise RuntimeError("a decoder does not load, with no broken file in sight")

    def _watch(self, process: SpawnProcess, base: float) -> Ending:
        began = time.monotonic()
        while True:
            try:
                if self._pipe.poll(_TICK):
                    ending = self._pipe.recv()
                    return _judged(ending._replace(mebibytes=max(0.0, ending.mebibytes - base)), self._limits)
            except EOFError:
                process.join()
                return Ending("crashed", f"the process ended with {process.exitcode}",
                              seconds=time.monotonic() - began)
            used = Ending("busy", seconds=time.monotonic() - began,
                          mebibytes=max(0.0, _memory(process.pid, "VmRSS") - base))
            if _judged(used, self._limits) is not used:
                return _judged(used, self._limits)


def _judged(ending: Ending, limits: Limits) -> Ending:
    if ending.mebibytes > limits.mebibytes:
        return ending._replace(verdict="memory", said=f"more than {limits.mebibytes:g} MiB")
    if ending.seconds > limits.seconds:
        return ending._replace(verdict="slow", said=f"more than {limits.seconds:g} s")
    return ending


def _memory(pid: int | str | None, which: str) -> float:
    """MiB; 0 where there is no /proc, or no such process any more."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{which}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


# In the process ---------------------------------------------------------------------------------------------------

def _serve(pipe, opener: Opener) -> None:
    decoders: dict[str, Decoder] = {}
    base = 0.0
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            name, data = pipe.recv()
            if name not in decoders:
                decoders[name] = opener(name)
                base = _memory("self", "VmRSS")
            pipe.send(base)
            pipe.send(_decoded(decoders[name], data))


def _decoded(decoder: Decoder, data: bytes) -> Ending:
    _forget_peak()
    began = time.perf_counter()
    try:
        ending = Ending("picture", picture=fingerprint(decoder(data)))
    except DataError as error:
        text = str(error)
        clear = text.strip() and "\n" not in text
        ending = Ending("refused", text) if clear else Ending("crashed", f"not one clear line: {text!r}")
    except Exception as error:  # anything else is what this is looking for
        ending = Ending("crashed", f"{type(error).__name__}: {str(error)[:200]}")
    return ending._replace(seconds=time.perf_counter() - began, mebibytes=_memory("self", "VmHWM"))


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
