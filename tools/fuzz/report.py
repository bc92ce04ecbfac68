"""The tables of a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tools.fuzz.campaign import BAD, GOOD, Finding

COLUMNS = (*GOOD, *BAD)


class Tally:
    """Counts findings."""

    def __init__(self) -> None:
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.decoders: Counter[tuple[str, str]] = Counter()
        self.said: Counter[tuple[str, str]] = Counter()
        self.slowest = self.largest = 0.0

    def add(self, finding: Finding) -> None:
        verdict, ending = finding.verdict, finding.ending
        self.kinds[finding.mutant.kind, verdict] += 1
        self.decoders[finding.decoder, verdict] += 1
        if ending.said:
            self.said[verdict, normalised(ending.said)] += 1
        self.slowest, self.largest = max(self.slowest, ending.seconds), max(self.largest, ending.mebibytes)

    @property
    def total(self) -> int:
        """All mutants."""
        return sum(self.kinds.values())

    @property
    def failures(self) -> int:
        """Mutants that ended as none may."""
        return sum(count for (_, verdict), count in self.kinds.items() if verdict in BAD)

    def text(self) -> str:
        """All tables."""
        said = [f"{count:7d}  {verdict}: {message}" for (verdict, message), count in self.said.most_common()]
        return "\n".join([
            *_table("decoder", self.decoders), "", *_table("mutation", self.kinds), "", *said, "",
            f"{self.total} mutants, {self.failures} failures; the slowest took {self.slowest:.2f} s, "
            f"the largest {self.largest:.0f} MiB"])


def normalised(message: str) -> str:
    """The message without what differs from file to file."""
    return re.sub(r"\b[0-9a-f]{8}\b|\d+(\.\d+)?", "#", message)


def _table(title: str, counts: Counter[tuple[str, str]]) -> Iterable[str]:
    names: Sequence[str] = list(dict.fromkeys(name for name, _ in counts))
    width = max(map(len, [title, *names]))
    yield f"{title:{width}}" + "".join(f"{column:>9}" for column in ("mutants", *COLUMNS))
    for name in names:
        row = [counts[name, column] for column in COLUMNS]
        yield f"{name:{width}}" + "".join(f"{count or '-':>9}" for count in (sum(row), *row))
