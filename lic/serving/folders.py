"""Where the models to serve lie: TensorFlow Serving's layout, a folder of versions, or one exported model by itself.

    BASE/1/saved_model.pb  BASE/2/saved_model.pb      the highest is served
    BASE/saved_model.pb                               one version; its number is the folder's name where that is one

Nothing heavy is imported here: that there is no model is said before TensorFlow comes up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import config
from lic import resources
from lic.errors import UsageError
from lic.files import shown

Fingerprint = tuple[int, int, int]


def named(words: Sequence[str], script: str) -> dict[str, str]:
    """The folders to serve by the models' names.

    Args:
      words: NAME=DIR, DIR (which lends its name), or a script's name for its bundled model; none for that of `script`.
    Raises:
      UsageError: two models have one name, or a name has a slash or a colon, which no address can hold.
      DataError: there is no model.
    """
    found: dict[str, str] = {}
    for word in words or [script]:
        name, folder = _name_and_folder(word)
        if not name or set("/:") & set(name):
            raise UsageError(f"'{shown(name)}' is no name for a model: give NAME=DIR, without slash and colon in NAME")
        if name in found:
            raise UsageError(f"two models are called '{shown(name)}': give NAME=DIR")
        if not versions(folder):
            resources.locate(folder)   # what is left are models that have yet to be exported
        found[name] = folder
    return found


def versions(base: str) -> dict[int, str]:
    """The folders of versions that stand in a base folder, by their numbers; none where there is no such folder."""
    if _is_exported(base):
        own = os.path.basename(os.path.abspath(base))
        return {int(own) if _is_number(own) else 1: base}
    try:
        names = os.listdir(base)
    except OSError:
        return {}
    return {int(name): os.path.join(base, name) for name in names
            if _is_number(name) and _is_exported(os.path.join(base, name))}


def fingerprint(folder: str) -> Fingerprint:
    """Changes with every file that is written in a folder: how many there are, their bytes, the time of the last."""
    found = []
    for inner, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):   # somebody is removing it
                found.append(os.stat(os.path.join(inner, name)))
    return len(found), sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def _name_and_folder(word: str) -> tuple[str, str]:
    name, equals, folder = word.partition("=")
    if equals and not os.path.exists(word):
        return name, resources.bundled(folder) if folder in config.PRESETS else folder
    if word in config.PRESETS:
        return word, resources.bundled(word)
    path = os.path.abspath(word)
    own = os.path.basename(path)
    return os.path.basename(os.path.dirname(path)) if _is_number(own) else own, word


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) < 1 << 63


def _is_exported(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, resources.SAVED_MODEL))
