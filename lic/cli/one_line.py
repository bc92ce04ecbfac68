"""Parsers of command lines that say in one line what is wrong: also those of `lic.corpus` and `lic.portability`."""

from __future__ import annotations

import sys
from typing import NoReturn

from lic.files import shown


class InOneLine:
    """What a class of parsers takes first: what is wrong is told in a line with where help is, and ends the process.

    Attributes:
      name: what the line begins with; that of the program where there is none.
    """

    prog: str
    name = ""

    def error(self, message: str) -> NoReturn:
        print(f"{self.name or self.prog}: {shown(message)} (see --help)", file=sys.stderr)
        raise SystemExit(2)
