"""The way of a request, the same for both doors: find the version, wait for a worker, read, call, write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Callable, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from lic.serving import tensors
from lic.serving.limits import Limits
from lic.serving.metrics import Metrics
from lic.serving.models import Models
from lic.serving.refusals import Code, Refusal, of_tensorflow
from lic.serving.version import Version
from lic.serving.work import Workers

T = TypeVar("T")


class Call(NamedTuple):
    """A signature's name, its inputs, and how an answer is made of the version and the outputs; run by a worker."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    write: Callable[[Version, Mapping[str, np.ndarray]], object]


Read = Callable[[Version], Call]


class Predictor:
    """Answers requests.

    Args:
      timeout: seconds that a request may take where its client says nothing.
    """

    def __init__(self, models: Models, workers: Workers, limits: Limits, metrics: Metrics, timeout: float):
        self.models, self.workers, self.limits, self._metrics, self._timeout = models, workers, limits, metrics, timeout

    def require_room(self, door: str) -> None:
        """Raises a Refusal where the queue is full: for those who'd rather know it before they read a request."""
        try:
            self.workers.require_room()
        except Refusal as refusal:
            self._metrics.count("", door, refusal.code.name)
            raise

    async def answer(self, door: str, name: str, number: int | None, arrive: Callable[[], Awaitable[Read]],
                     timeout: float | None = None):
        """What `write` made of the outputs.

        Args:
          door: "grpc" or "rest", for the metrics.
          name, number: of the model and its version; None for the one that serves.
          arrive: waits for all that the client sends, and returns what makes a call of it, which a worker runs.
          timeout: seconds that are left.
        Raises:
          Refusal: there is no such model, the queue is full, time is up, or the request is bad.
        """
        code, known = Code.INTERNAL, ""
        try:
            self.models.named(name, number)
            known = name
            answer = await self._in_time(self._in_turn(name, number, arrive), timeout)
            code = Code.OK
            return answer
        except Refusal as refusal:
            code = refusal.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            self._metrics.count(known, door, code.name)

    async def _in_time(self, answer: Awaitable[T], timeout: float | None) -> T:
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        try:
            return await asyncio.wait_for(answer, seconds)
        except asyncio.TimeoutError:
            raise Refusal(Code.DEADLINE_EXCEEDED, f"the request took longer than {seconds:.3g} seconds") from None

    async def _in_turn(self, name: str, number: int | None, arrive: Callable[[], Awaitable[Read]]):
        read = await arrive()
        version = self.models.named(name, number)   # some clients take long to send, or never do
        self.models.use(version)
        return await self.workers.run(lambda: self._work(name, version, read),
                                      lambda: self.models.release(name, version))

    def _work(self, name: str, version: Version, read: Read):
        call = read(version)
        signature, specs = version.signature(call.signature)
        tensors.check(call.inputs, specs)
        self.limits.check(call.inputs)
        try:
            with self._metrics.timed(name, signature):
                outputs = version.run(signature, call.inputs)
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from None
        return call.write(version, outputs)
