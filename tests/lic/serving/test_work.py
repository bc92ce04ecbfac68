"""The queue before the workers, whatever happens to those who wait."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lic.serving.refusals import Refusal
from lic.serving.work import Workers


class Bench:
    """Workers, and pieces of work that end when they are let go."""

    def __init__(self, count: int, room: int):
        self.workers, self.gate, self.begun, self.ended = Workers(count, room), threading.Event(), [], []

    def start(self, name: str) -> asyncio.Task:
        def work() -> str:
            self.begun.append(name)
            assert self.gate.wait(30)
            return name

        return asyncio.ensure_future(self.workers.run(work, lambda: self.ended.append(name)))


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0.01)


def test_first_come_is_first_served_and_one_too_many_is_refused():
    async def scene():
        bench = Bench(1, 2)
        tasks = [bench.start(name) for name in "abc"]
        await _settled()
        assert (bench.workers.running, bench.workers.waiting, bench.begun) == (1, 2, ["a"])
        with pytest.raises(Refusal, match="the queue is full"):
            await bench.start("d")
        assert bench.ended == ["d"]
        bench.gate.set()
        assert await asyncio.gather(*tasks) == list("abc") and bench.begun == list("abc")
        assert (bench.workers.running, bench.workers.waiting) == (0, 0)

    asyncio.run(scene())


def test_given_up_in_the_queue_is_never_begun_and_makes_room():
    async def scene():
        bench = Bench(1, 2)
        a, b, c = (bench.start(name) for name in "abc")
        await _settled()
        b.cancel()
        await _settled()
        assert bench.workers.waiting == 1 and bench.ended == ["b"]
        d = bench.start("d")
        bench.gate.set()
        assert await asyncio.gather(a, c, d) == ["a", "c", "d"]
        assert bench.begun == ["a", "c", "d"] and sorted(bench.ended) == ["a", "b", "c", "d"]

    asyncio.run(scene())


def test_given_up_under_way_keeps_its_worker_to_the_end():
    async def scene():
        bench = Bench(1, 2)
        a = bench.start("a")
        await _settled()
        a.cancel()
        await _settled()
        assert a.cancelled() and bench.workers.running == 1 and not bench.ended
        b = bench.start("b")
        await _settled()
        assert bench.begun == ["a"]
        bench.gate.set()
        assert await b == "b" and bench.ended == ["a", "b"]

    asyncio.run(scene())


def test_given_up_in_the_moment_of_its_turn_passes_it_on():
    async def scene():
        bench = Bench(1, 2)
        # Called right before the turn is passed on: b is given up after that, and before it could notice.
        a = asyncio.ensure_future(bench.workers.run(
            lambda: bench.gate.wait(30), lambda: asyncio.get_running_loop().call_soon(b.cancel)))
        await _settled()
        b, c = bench.start("b"), bench.start("c")
        await _settled()
        bench.gate.set()
        assert await a and await asyncio.wait_for(c, 30) == "c"
        await _settled()
        assert b.cancelled() and bench.begun == ["c"] and bench.workers.running == 0

    asyncio.run(scene())


def test_work_that_fails_frees_its_worker():
    async def scene():
        workers, ended = Workers(1, 0), []
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await workers.run(lambda: 1 // 0, lambda: ended.append(1))
            await _settled()
        assert workers.running == 0 and len(ended) == 2

    asyncio.run(scene())
