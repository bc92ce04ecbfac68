"""What the results of all configurations come to: pairs that fail, deviations, and what they make likely."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

GREY_LEVELS = 1        # synthesis runs in float32: so much may differ in pixels that come of the same symbols
STEPS = {("portable", "location"): 2.0 ** -8, ("portable", "index"): 1.0, ("portable", "product"): 1.0,
         ("float32", "index"): 1.0}


# Pairs ---------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Count:
    """What became of files that each configuration made and each other one decoded.

    Attributes:
      files, distinct: how many were made, and how many have bytes of their own (the others weren't decoded again).
      pairs: (picture, encoder, decoder), encoder and decoder being two configurations.
      refused, refused_by_maker: pairs without pixels, and files that their own maker refused; why: the first reason.
      mismatches: refused for symbols or strings, or decoded to pixels further off than a grey level.
      pictures_differ: pairs whose pixels differ at all from what the maker decodes.
      largest: grey levels; samples, samples_differ: of all pairs that have pixels.
    """

    files: int = 0
    distinct: int = 0
    pairs: int = 0
    refused: int = 0
    refused_by_maker: int = 0
    why: str = ""
    mismatches: int = 0
    pictures_differ: int = 0
    largest: int = 0
    samples: int = 0
    samples_differ: int = 0

    @property
    def sound(self) -> bool:
        """Whether every file decoded everywhere."""
        return not (self.refused or self.refused_by_maker or self.mismatches)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        share = self.samples_differ / self.samples if self.samples else 0.0
        return {**dataclasses.asdict(self), "share_of_samples_that_differ": share, "sound": self.sound}

    def refuse(self, verdict: dict) -> None:
        """Counts one that has no pixels."""
        self.mismatches += verdict["symbols"]
        self.why = self.why or verdict["refused"]

    def compare(self, largest: int, differ: int, size: int) -> None:
        """Counts one that has pixels."""
        self.mismatches += largest > GREY_LEVELS
        self.pictures_differ += differ > 0
        self.largest = max(self.largest, largest)
        self.samples += size
        self.samples_differ += differ


class Differences:
    """How the decodings of one file differ from one another."""

    def __init__(self, folder: str, name: str):
        self._folder, self._name, self._known, self._arrays, self._digests = folder, name, {}, {}, {}

    def digest(self, configuration: str) -> str:
        """The same for decodings that are the same."""
        if configuration not in self._digests:
            self._digests[configuration] = hashlib.sha256(self._array(configuration).tobytes()).hexdigest()
        return self._digests[configuration]

    def between(self, one: str, other: str) -> tuple[int, int, int]:
        """(largest difference, samples that differ, samples); decodings that are the same are compared once."""
        pair = self.digest(one), self.digest(other)
        if pair not in self._known:
            a, b = self._array(one), self._array(other)
            self._known[pair] = int(np.max(np.abs(a - b))), int(np.count_nonzero(a != b)), a.size
        return self._known[pair]

    def _array(self, configuration: str) -> np.ndarray:
        path = os.path.join(self._folder, configuration, f"{self._name}.npz")
        if configuration not in self._arrays:
            if not os.path.exists(path):    # none of its makers could decode it: there is nothing to compare with
                return np.zeros(0, np.int16)
            with np.load(path) as stored:
                self._arrays[configuration] = stored["difference"]
        return self._arrays[configuration]


def count(folder: str, encoded: dict[str, dict[str, str]], decoded: dict[str, dict[str, dict]]) -> Count:
    """Counts a model under an arithmetic.

    Args:
      folder: FOLDER/MODEL/ARITHMETIC, see `crew`.
      encoded: for each configuration, the name of each picture's file.
      decoded: for each configuration, the verdict on each file.
    """
    total, makers = Count(), defaultdict(list)
    for maker, names in encoded.items():
        for name in names.values():
            makers[name].append(maker)
    total.files, total.distinct = sum(map(len, makers.values())), len(makers)
    for name, ours in makers.items():
        differences, verdicts = Differences(folder, name), {c: v[name] for c, v in decoded.items()}
        for maker in ours:
            _count_maker(total, maker, verdicts, differences)
    return total


def _count_maker(total: Count, maker: str, verdicts: dict[str, dict], differences: Differences) -> None:
    own = verdicts.get(maker)
    if own and own["refused"]:
        total.refused_by_maker += 1
        total.refuse(own)
    for decoder, verdict in verdicts.items():
        if decoder == maker:
            continue
        total.pairs += 1
        if verdict["refused"]:
            total.refused += 1
            total.refuse(verdict)
        elif own and not own["refused"]:
            total.compare(*differences.between(maker, decoder))


def twins(folder: str, encoded: dict[str, dict], decoded: dict[str, dict]) -> dict[str, str]:
    """For each configuration the first one that made the same files and decoded the same pixels of every file."""
    first: dict[str, str] = {}
    found = {}
    for configuration in encoded:
        if configuration in decoded:
            seen = json.dumps([encoded[configuration], _digests(folder, configuration, decoded[configuration])])
            found[configuration] = first.setdefault(seen, configuration)
    return found


def _digests(folder: str, configuration: str, verdicts: dict) -> list[str]:
    """Of each file's decoding, or why there is none."""
    return [verdict["refused"] or Differences(os.path.join(folder, model, arithmetic), name).digest(configuration)
            for model, of_arithmetic in verdicts.items() for arithmetic, of_file in of_arithmetic.items()
            for name, verdict in sorted(of_file.items())]


# Deviation -----------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Deviation:
    """How far predictions of the same symbols lie apart, in units of the step that they are rounded to.

    Attributes:
      step: location's grid or 1; margin: that the encoder keeps from ties, see `lic.arithmetic.Arithmetic`.
      values: a picture, on average.
      largest, mean: |difference|, over all pairs of configurations, pictures and values; largest_absolute: times step.
      nearest_tie: least distance of a value to where rounding turns.
      flips: values a picture that an average pair rounds otherwise.
      expected: what `flips` should be, the sum of |difference|; expected_worst: for the worst pair.
      bound: values times largest.
    """

    step: float
    margin: float = 0.0
    values: float = 0.0
    largest: float = 0.0
    largest_absolute: float = 0.0
    mean: float = 0.0
    nearest_tie: float = 0.5
    flips: float = 0.0
    expected: float = 0.0
    expected_worst: float = 0.0
    bound: float = 0.0


class _Spread(NamedTuple):
    """Of the predictions of one picture, in steps.

    Attributes:
      sums: of |difference|, of each pair of configurations.
      values: how many there are; flips: those that a pair rounds otherwise, over all pairs.
      largest: |difference|; nearest_tie: least distance of a value to where rounding turns.
    """

    sums: np.ndarray
    values: int
    flips: int
    largest: float
    nearest_tie: float


def deviation(folder: str, kind: str, step: float, configurations: Sequence[str], pictures: Sequence[str],
              margin: float = 0.0) -> Deviation | None:
    """Of "location", "index" or "product"; None with fewer than two configurations, or where there is no such value."""
    if len(configurations) < 2:
        return None
    spreads = []
    for key in pictures:
        x = np.stack([np.load(os.path.join(folder, "predictions", c, f"{key}-{kind}.npy")) for c in configurations])
        if not x.size:
            return None
        spreads.append(_spread(x.astype(np.float64) / step))
    return _deviation(spreads, step, margin)


def _spread(x: np.ndarray) -> _Spread:
    """Predictions (configurations, values) in steps -> how far they lie apart."""
    pairs, rounded = list(itertools.combinations(range(len(x)), 2)), np.round(x)
    return _Spread(np.array([np.sum(np.abs(x[a] - x[b])) for a, b in pairs]), x.shape[1],
                   sum(int(np.count_nonzero(rounded[a] != rounded[b])) for a, b in pairs),
                   float(np.max(np.max(x, 0) - np.min(x, 0))), float(np.min(np.abs(x - np.floor(x) - 0.5))))


def _deviation(spreads: Sequence[_Spread], step: float, margin: float) -> Deviation:
    sums, counts = np.stack([s.sums for s in spreads]), [s.values for s in spreads]
    values, largest = float(np.mean(counts)), max(s.largest for s in spreads)
    return Deviation(
        step, margin, values, largest, largest_absolute=largest * step,
        mean=float(np.sum(sums) / (np.sum(counts) * sums.shape[1])),
        nearest_tie=min(s.nearest_tie for s in spreads), flips=sum(s.flips for s in spreads) / sums.size,
        expected=float(np.mean(sums)), expected_worst=float(np.max(np.mean(sums, 0))), bound=values * largest)
