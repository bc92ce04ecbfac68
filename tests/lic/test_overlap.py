"""Several files at once."""

from __future__ import annotations

import threading
import time

import pytest

from lic import overlap
from lic.overlap import Room, Stop, Stopped


def slow_for_the_first(number):
    time.sleep(0.2 if number == 0 else 0)
    if number == 2:
        raise ValueError("the third")
    return number * 10


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_outcomes_come_in_the_order_of_the_jobs_and_an_error_is_one_of_them(workers):
    found = []
    for outcome in overlap.outcomes(slow_for_the_first, [(i,) for i in range(6)], workers, Stop()):
        try:
            found.append(outcome())
        except ValueError as error:
            found.append(str(error))
    assert found == [0, 10, "the third", 30, 40, 50]


def test_jobs_run_side_by_side():
    together = threading.Barrier(2, timeout=20)   # each waits for the other
    assert [outcome() for outcome in overlap.outcomes(lambda: together.wait() < 2, [(), ()], 2, Stop())] == [True] * 2


def test_no_more_is_done_ahead_than_there_is_use_for():
    begun = []
    outcomes = overlap.outcomes(begun.append, [(i,) for i in range(50)], 2, Stop())
    next(outcomes)()
    time.sleep(0.1)
    assert len(begun) <= 4
    outcomes.close()


def test_who_leaves_early_stops_what_is_under_way_and_begins_nothing_more():
    stop, ended, begun = Stop(), [], threading.Semaphore(0)

    def endless(number):
        begun.release()
        try:
            for _ in stop.heed(iter(int, 1)):
                time.sleep(0.001)
        except Stopped:
            ended.append(number)

    outcomes = overlap.outcomes(endless, [(i,) for i in range(9)], 2, stop)
    next(outcomes)
    begun.acquire(timeout=20)
    outcomes.close()
    assert set(ended) <= {0, 1, 2} and ended


def test_room_is_shared_until_it_is_full():
    room, inside, most = Room(10), [], []

    def job(size):
        with room.of(size):
            inside.append(size)
            most.append(sum(inside))
            time.sleep(0.02)
            inside.remove(size)

    threads = [threading.Thread(target=job, args=(size,)) for size in (4, 4, 4, 4, 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 5 and max(s for s in most if s < 99) <= 8
    assert 99 in most, "what needs more than there is has it all for itself"


def test_room_is_given_back_after_an_error():
    room = Room(1)
    with pytest.raises(ValueError), room.of(1):
        raise ValueError
    with room.of(1):
        pass


def test_a_sample_of_few_jobs_is_all_and_of_many_spread_evenly():
    assert overlap.sample(range(5)) == [0, 1, 2, 3, 4]
    some = overlap.sample(range(1000))
    assert some[0] == 0 and len(some) == 64 and {b - a for a, b in zip(some, some[1:])} == {15, 16}


@pytest.mark.parametrize("jobs, needs, alone", [
    (8, [3.0, 10.0], True), (7, [3.0, 10.0], False), (8, [3.0, 11.0], False), (8, [], False), (8, [None], False),
    (8, [None, 3.0], True)],
    ids=["many and small", "few", "one that is large", "none", "of unknown sizes", "one of unknown size"])
def test_jobs_have_a_core_each_where_they_are_many_and_small(jobs, needs, alone, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert overlap.have_a_core_each(jobs, needs, 40.0) is alone
