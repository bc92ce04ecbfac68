"""So many workers, and a queue of bounded length before them; a request that finds it full is refused at once.

All of it but the work itself happens on the event loop's thread, so nothing needs a lock.

Gotcha: TensorFlow can't be interrupted. A request that is given up while it waits leaves the queue; one that is under
way keeps its worker to the end.
"""

from __future__ import annotations

import asyncio
import collections
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

from lic.serving.refusals import Code, Refusal

Result = TypeVar("Result")


class Workers:
    """Runs functions in threads, first come first served.

    Args:
      count: how many run at the same time.
      room: how many may wait besides.
    """

    def __init__(self, count: int, room: int):
        self._count, self._room, self.running = count, room, 0
        self._waiting: collections.deque[asyncio.Future] = collections.deque()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lic-worker")

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def require_room(self) -> None:
        """Raises a Refusal where one more request would find the queue full."""
        if self.running == self._count and len(self._waiting) >= self._room:
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"{self.running} requests are under way and {self.waiting} wait: "
                                                   "the queue is full, try again later")

    async def run(self, work: Callable[[], Result], ended: Callable[[], None]) -> Result:
        """What `work` returns, once it had its turn.

        Args:
          ended: called on the event loop when the work is over or was given up before it began.
        Raises:
          Refusal: the queue is full.
        """
        try:
            await self._turn()
        except BaseException:
            ended()
            raise
        loop = asyncio.get_running_loop()
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._over, ended))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Waits for what is under way."""
        self._threads.shutdown()

    async def _turn(self) -> None:
        self.require_room()
        if self.running < self._count:
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:
                self._pass_on()   # it was given up in the moment in which its turn came
            raise

    def _over(self, ended: Callable[[], None]) -> None:
        ended()
        self._pass_on()

    def _pass_on(self) -> None:
        turn = next((turn for turn in self._waiting if not turn.done()), None)
        if turn is None:
            self.running -= 1
        else:
            self._waiting.remove(turn)
            turn.set_result(None)
