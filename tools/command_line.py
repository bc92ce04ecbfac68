"""What the command lines of the tools have in common: a tool's docstring is its help, its errors are one line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from lic.errors import UserError
from lic.files import shown


def parser(doc: str | None, tool: str) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring, as it stands there."""
    return argparse.ArgumentParser(f"python -m tools.{tool}", description=doc,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


@contextlib.contextmanager
def told_in_a_line(tool: str) -> Iterator[None]:
    """An error in here that a user can mend ends the process with a line, and with the error's exit code."""
    try:
        yield
    except UserError as error:
        print(f"{tool}: {shown(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
