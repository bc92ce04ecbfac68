"""Jobs, each from one file to another: done side by side, and a bad one does not stop the rest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from typing import Callable

from lic import memory, overlap
from lic.cli import progress
from lic.cli.notes import tell
from lic.cli.progress import Bar
from lic.errors import DataError, UserError
from lic.files import shown


def share_cores(jobs: Sequence[tuple[str, str]], need_of: Callable[[str], float | None]) -> None:
    """Gives each of many small files one core.

    Args:
      need_of: tells the bytes of memory that a source takes, or None.
    """
    needs = (need_of(source) for source, _ in overlap.sample(jobs))
    if overlap.have_a_core_each(len(jobs), needs, memory.budget()):
        from lic import loading
        loading.give_operations_one_thread()


def do(script: str, jobs: Sequence[tuple[str, str]], work: Callable[[str, str, Bar], Callable[[], None]],
       side_by_side: bool) -> int:
    """Does each job, with a bar where there are several; tells of a bad one. Returns the exit code.

    Args:
      work: takes source, target and what shows tiles; returns what is left to do, which is done in the jobs' order.
      side_by_side: whether several jobs may be worked on at the same time.
    """
    stop, failed = overlap.Stop(), 0
    workers = overlap.workers_for(jobs) if side_by_side else 1
    bar = progress.bar if workers == 1 else lambda what: stop.heed

    def begun(source: str, target: str) -> Callable[[], None]:
        _make_folder_of(target)
        return work(source, target, bar)

    outcomes = overlap.outcomes(begun, jobs, workers, stop)
    with closing(outcomes), progress.over_files(jobs) as all_:
        for (source, _), outcome in zip(all_, outcomes):
            try:
                outcome()()
            except UserError as error:
                tell(script, source, error)
                failed = max(failed, error.exit_code)
    return failed


def _make_folder_of(target: str) -> None:
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"cannot write {shown(target)}: a part of this path is a file, not a directory") from None
    except OSError as error:
        raise DataError(f"cannot write {shown(target)}: {error.strerror}") from None
