"""Models that were not exported yet are, into passing folders, so that there is one way only to serve one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping

import config
from lic import drafts, export, loading
from lic.files import shown
from lic.serving import folders
from lic.serving.models import Tell


@contextlib.contextmanager
def exported(bases: Mapping[str, str], runtime: config.Runtime, tell: Tell) -> Iterator[dict[str, str]]:
    """Folders of exported models in the place of all; those that were made here are removed at the end.

    Raises:
      UserError: a model can't be loaded or exported.
    """
    with contextlib.ExitStack() as passing:
        yield {name: base if folders.versions(base) else _export(name, base, runtime, tell, passing)
               for name, base in bases.items()}


def _export(name: str, base: str, runtime: config.Runtime, tell: Tell, passing: contextlib.ExitStack) -> str:
    tell(f"{shown(name)} is being exported")
    target = os.path.join(tempfile.gettempdir(), "served")
    folder, _ = passing.enter_context(drafts.beside(target, drafts.new_folder))   # swept by the next, if this is killed
    export.save(loading.load(base, runtime, stored=False), os.path.join(folder, "1"))
    return folder
