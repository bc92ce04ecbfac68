"""The folder of a run, and `run.json` in it, which says what is trained there."""

from __future__ import annotations

import dataclasses
import json
import os

import config
from lic import files, folder_lock, weights
from lic.errors import DataError, UsageError
from lic.resources import RUN

_AIMS = {"lambda": "lmbda", "distortion": "distortion"}   # of a run, by the flags that set them


def make(flag: str, path: str) -> None:
    """Makes a folder that a flag names.

    Raises:
      DataError: it can't be made, or TensorFlow couldn't write there.
    """
    try:
        path.encode()
        os.makedirs(path, exist_ok=True)
    except UnicodeEncodeError:
        raise DataError(f"--{flag} '{files.shown(path)}': TensorFlow writes only under names of UTF-8") from None
    except OSError as error:
        raise DataError(f"--{flag} '{files.shown(path)}' can't be made: {error.strerror}") from None


def read(path: str) -> dict | None:
    """What run.json says: `script`, `preset` and `settings`; None where there is none, or none of ours."""
    try:
        with open(os.path.join(path, RUN), encoding="utf-8") as file:
            about = json.load(file)
        named = {"script": str(about["script"]), "preset": str(about["preset"])}
        settings = about.get("settings")
        return {**about, **named, "settings": settings if isinstance(settings, dict) else {}}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_own(flag: str, path: str, script: str, preset: str) -> dict | None:
    """The same of a folder that a flag names, which may hold a run of this script and preset only.

    Raises:
      UsageError: it holds another. DataError: run.json can't be read.
    """
    run, about = read(path), os.path.join(path, RUN)
    if run is None and os.path.exists(about):
        raise DataError(f"'{about}' can't be read as the description of a run: give another --{flag}")
    if run and (run["script"], run["preset"]) != (script, preset):
        raise UsageError(f"'{path}' holds a run of {run['script']} {run['preset']}: give another --{flag}")
    return run


def place_of_model(path: str, model_path: str) -> str:
    """Where the run in a folder saves its model, by the setting of that name."""
    return model_path or os.path.join(path, "model")


class Folder:
    """The folder of one run.

    Args:
      script, preset: what is trained.
      settings: how, and where.
    Attributes:
      identity: of the run, which the models that it saves name; folders are renamed.
      slowed: whether the learning rate was lowered because the one of the settings broke the weights.
    """

    def __init__(self, script: str, preset: str, settings: config.Training):
        self.script, self.preset, self.settings, self.slowed = script, preset, settings, False
        self.identity = os.urandom(8).hex()
        self._lock = folder_lock.Lock(settings.train_path)

    def path(self, *names: str) -> str:
        """A place in it."""
        return os.path.join(self.settings.train_path, *names)

    def look(self) -> None:
        """Holds it from here on, where it is there, and takes in what run.json says, if there is one.

        Raises:
          UsageError: something else is trained there, or this by another process; or something else than a model of
            this run stands where it is to save one.
          DataError: it can't be read.
        """
        self.hold()
        other = read_own("train_path", self.settings.train_path, self.script, self.preset)
        self.identity = str((other or {}).get("identity", self.identity))
        self._refuse_another_model(other is not None)
        if other is None:
            return
        then = other["settings"]
        self._refuse_another_aim(then)
        same_rate = then.get("learning_rate") == self.settings.learning_rate
        self.slowed = same_rate and other.get("slowed") is True

    def hold(self) -> None:
        """Keeps all others from training there.

        Raises:
          UsageError: somebody does.
        """
        self._lock.take()

    def let_go(self) -> None:
        """Others may train there again."""
        self._lock.free()

    def _refuse_another_aim(self, then: dict) -> None:
        """Its records would say that what was learned so far had the new aim, too."""
        here = self.settings.train_path
        for flag, name in _AIMS.items():
            if then.get(name, getattr(self.settings, name)) != getattr(self.settings, name):
                raise UsageError(f"'{here}' holds a run with --{flag} {then[name]}: give the same, or begin another "
                                 f"with its weights, by another --train_path and --init_from '{here}'")

    @property
    def model(self) -> str:
        """Where the run saves its model."""
        return place_of_model(self.settings.train_path, self.settings.model_path)

    def _refuse_another_model(self, goes_on: bool) -> None:
        """It would be written over at the end."""
        place, here = self.model, self.settings.train_path
        if os.path.commonpath(list(map(os.path.realpath, (place, here)))) == os.path.realpath(place):
            raise UsageError(f"--model_path '{place}' holds the run's own folder '{here}': give another")
        if not os.path.isdir(place) or not os.listdir(place) or self._made(place):
            return
        if not (goes_on and set(os.listdir(place)) <= weights.FIRST_SAVED):   # it was killed while it saved
            flag = "model_path" if self.settings.model_path else "train_path"
            raise UsageError(f"'{place}' holds something else than a model of the run in '{here}', and would be "
                             f"written over: give another --{flag}")

    def _made(self, folder: str) -> bool:
        """Whether a folder holds a model that this run saved."""
        try:
            return weights.describe(folder).get("run") == self.identity
        except DataError:
            return False

    def make(self) -> None:
        """Also the model's: better now than after the training. Holds a new one, too.

        Raises:
          DataError: it can't be made. UsageError: as of `look`, of a run that came between.
        """
        for flag in ("train_path", "model_path"):
            if getattr(self.settings, flag):
                make(flag, getattr(self.settings, flag))
        self.look()

    def claim(self) -> None:
        """Writes down what is trained; only once it is sure that this run can go on with what stands there."""
        about = {"script": self.script, "preset": self.preset, "identity": self.identity,
                 "settings": dataclasses.asdict(self.settings), "slowed": self.slowed}
        files.write_atomically(self.path(RUN), json.dumps(about, indent=2).encode())
