"""The models that are served, by name: which version of each, and how another one takes its place.

The highest version in a model's folder serves. What appears there later is loaded beside it and takes its place between
two requests; the old version stays until its last request ends. One that can't be loaded is told of, and the one that
serves goes on; it is tried again when its files change, for somebody may still be copying them.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple

from tensorflow_serving.apis import get_model_status_pb2

from lic.errors import DataError
from lic.files import shown
from lic.serving import folders
from lic.serving.refusals import Code, Refusal
from lic.serving.version import Version

State = get_model_status_pb2.ModelVersionStatus

Tell = Callable[[str], None]


class Standing(NamedTuple):
    """How a version stands: a state of `ModelVersionStatus`, and what went wrong, if anything."""

    state: int
    error: str = ""


class _Model:
    """A name, the version that serves under it, and how all its versions stand."""

    def __init__(self, name: str, base: str):
        self.name, self.base = name, base
        self.current: Version | None = None
        self.standings: dict[int, Standing] = {}
        self.tried: dict[int, folders.Fingerprint] = {}   # in vain

    def next(self, found: Mapping[int, str]) -> int | None:
        """The version to load: the highest that was not tried in vain as it is now, unless it serves already."""
        hopeful = (n for n in found if n not in self.tried or self.tried[n] != folders.fingerprint(found[n]))
        best = max(hopeful, default=None)
        return None if best is None or (self.current and self.current.number == best) else best

    def forget(self, found: Mapping[int, str]) -> None:
        """Drops what is known of versions that neither exist any more nor serve."""
        kept = {n for n, standing in self.standings.items() if n in found or standing.state != State.END}
        self.standings = {n: standing for n, standing in self.standings.items() if n in kept}
        self.tried = {n: mark for n, mark in self.tried.items() if n in kept}


class Models:
    """All models of a server. What isn't said to block runs on the event loop's thread.

    Args:
      bases: the folder of each model by its name.
      tell: takes a line for whoever runs the server.
    """

    def __init__(self, bases: Mapping[str, str], tell: Tell):
        self._models = {name: _Model(name, base) for name, base in bases.items()}
        self._tell = tell
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="lic-loader")

    def load(self) -> None:
        """Loads the highest whole version of each model; blocks.

        Raises:
          DataError: a model has none.
        """
        for model in self._models.values():
            while model.current is None:
                found = folders.versions(model.base)
                number = model.next(found)
                if number is None:
                    raise DataError(f"no version of model '{shown(model.name)}' can be served, "
                                    f"of those in '{shown(model.base)}'")
                self._settle(model, number, self._attempt(model, number, found[number]))

    async def watch(self, seconds: float) -> None:
        """Looks for other versions again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            for model in self._models.values():
                await self._look(model)

    def named(self, name: str, number: int | None) -> Version:
        """The version that serves under a name. Raises a Refusal where there is none, or not of this number."""
        model = self._models.get(name)
        if model is None or model.current is None or number not in (None, model.current.number):
            wanted = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise Refusal(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return model.current

    def standings(self, name: str, number: int | None) -> dict[int, Standing]:
        """How the versions of a model stand, or the one of that number. Raises a Refusal where there are none."""
        model = self._models.get(name)
        if model is None:
            raise Refusal(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        if number is None:
            return dict(sorted(model.standings.items()))
        if number not in model.standings:
            raise Refusal(Code.NOT_FOUND, f"Could not find version {number} of model {name}")
        return {number: model.standings[number]}

    def served(self) -> dict[str, int]:
        """The number of the version that serves, of each model."""
        return {name: model.current.number for name, model in self._models.items() if model.current}

    def use(self, version: Version) -> None:
        """Counts a request of a version; `release` has to follow."""
        version.users += 1

    def release(self, name: str, version: Version) -> None:
        """A request of it ended."""
        version.users -= 1
        if version is not self._models[name].current:
            self._end_unused(self._models[name], version)

    async def close(self) -> None:
        """Waits for a version that is being loaded."""
        await asyncio.to_thread(self._loader.shutdown)

    async def _look(self, model: _Model) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._loader, folders.versions, model.base)
        number = await loop.run_in_executor(self._loader, model.next, found)
        model.forget(found)
        if number is not None:
            model.standings[number] = Standing(State.LOADING)
            self._settle(model, number, await loop.run_in_executor(
                self._loader, self._attempt, model, number, found[number]))

    def _attempt(self, model: _Model, number: int, folder: str) -> Version | str:
        """The version, or what is wrong with it; blocks."""
        model.tried[number] = folders.fingerprint(folder)   # before it is read: what is written later makes it anew
        try:
            return Version(number, folder)
        except Exception as error:   # TensorFlow says in no place what a damaged SavedModel may raise
            lines = str(error).splitlines() or [type(error).__name__]
            return shown(lines[0])

    def _settle(self, model: _Model, number: int, outcome: Version | str) -> None:
        if isinstance(outcome, str):
            model.standings[number] = Standing(State.END, outcome)
            self._tell(f"{shown(model.name)} version {number} can't be loaded: {outcome}")
            return
        old, model.current = model.current, outcome
        del model.tried[number]
        model.standings[number] = Standing(State.AVAILABLE)
        self._tell(f"{shown(model.name)} version {number} is served")
        if old:
            model.standings[old.number] = Standing(State.UNLOADING)
            self._end_unused(model, old)

    def _end_unused(self, model: _Model, version: Version) -> None:
        # Where its state is another, it has ended already, or was loaded again meanwhile.
        if version.users or model.standings.get(version.number) != Standing(State.UNLOADING):
            return
        model.standings[version.number] = Standing(State.END)
        self._tell(f"{shown(model.name)} version {version.number} has ended")
        self._loader.submit(gc.collect)   # a loaded graph refers to itself
