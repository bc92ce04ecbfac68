"""Lines about inputs on standard error: what became of them, and why some failed."""

from __future__ import annotations

import sys
from contextlib import suppress

from lic import stderr
from lic.errors import UserError
from lic.files import shown


def note(line: str) -> None:
    """One line, above whatever bar there is."""
    from tqdm import tqdm
    with stderr.ALONE, suppress(OSError):   # where it can't be said, the work goes on
        tqdm.write(line, file=sys.stderr)


def tell(script: str, source: str, error: UserError) -> None:
    """One line about an input that failed."""
    note(f"{script}: {shown(named(source, error))}")


def named(source: str, error: UserError) -> str:
    """An error's line, with the name of the input that it is about."""
    name = shown(source)
    return str(error) if name in str(error) else f"{name}: {error}"
