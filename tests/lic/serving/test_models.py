"""Versions that come, go and are broken while a real server serves."""

from __future__ import annotations

import shutil
import threading
import time

import pytest
from tensorflow_serving.apis import get_model_status_pb2


def _standings(server) -> dict[int, tuple[str, str]]:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny"})
    return {each.version: (each.State.Name(each.state), each.status.error_message)
            for each in server.models.GetModelStatus(request).model_version_status}


@pytest.fixture(scope="module")
def watched(base, serving):
    """(the folder of versions, a server that looks into it often); each test puts higher versions there."""
    folder = base()
    with serving(f"tiny={folder}", "--poll", "0.1") as server:
        yield folder, server


def _put(source, folder, number: int) -> None:
    """As a whole, the way that `export` writes it."""
    shutil.copytree(source, folder / "draft")
    (folder / "draft").rename(folder / str(number))


def test_model_is_swapped_while_serving_and_a_broken_one_is_told_of(watched, exported, png, until):
    folder, server = watched
    picture, seen, failed, stop = png(40, 50), [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.append(server.predict("compress", image_bytes=[picture]).model_spec.version.value)
            except Exception as error:
                failed.append(error)
            time.sleep(0.1)   # the rest of the machine is for the loading

    client = threading.Thread(target=ask)
    client.start()
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"no graph at all")
    until(lambda: _standings(server).get(2, ("",))[0] == "END")
    assert _standings(server)[1] == ("AVAILABLE", "") and _standings(server)[2][1]
    _put(exported, folder, 3)
    until(lambda: _standings(server).get(3) == ("AVAILABLE", ""))
    until(lambda: _standings(server)[1] == ("END", ""))
    until(lambda: seen[-1] == 3)
    stop.set()
    client.join()
    assert not failed and set(seen) == {1, 3} and seen[0] == 1


@pytest.mark.slow
def test_version_that_is_still_copied_is_loaded_when_it_is_whole(watched, exported, until):
    folder, server = watched
    (folder / "4").mkdir()
    shutil.copy(exported / "saved_model.pb", folder / "4")
    until(lambda: _standings(server).get(4, ("",))[0] == "END")
    shutil.copytree(exported / "variables", folder / "4" / "variables")
    until(lambda: _standings(server)[4] == ("AVAILABLE", ""))


@pytest.mark.slow
def test_version_serves_until_its_last_request_ends(watched, exported, flat, png, until):
    folder, server = watched
    _put(exported, folder, 5)
    until(lambda: _standings(server).get(5) == ("AVAILABLE", ""))
    under_way = server.prediction.Predict.future(server.request("compress", image_bytes=[flat(6000, 6000)]))
    until(lambda: server.metric("lic_running") == 1)
    _put(exported, folder, 6)
    until(lambda: _standings(server).get(6) == ("AVAILABLE", ""))
    assert not under_way.done() and _standings(server)[5] == ("UNLOADING", "")
    assert server.predict("compress", image_bytes=[png(16, 16)]).model_spec.version.value == 6
    assert under_way.result().model_spec.version.value == 5
    until(lambda: _standings(server)[5] == ("END", ""))


@pytest.mark.slow
def test_version_that_is_removed_gives_way_to_the_one_below(watched, exported, png, until):
    folder, server = watched
    for number in (7, 8):
        _put(exported, folder, number)
        until(lambda number=number: _standings(server).get(number) == ("AVAILABLE", ""))
    shutil.rmtree(folder / "8")
    until(lambda: _standings(server)[7] == ("AVAILABLE", ""))
    assert server.predict("compress", image_bytes=[png(16, 16)]).model_spec.version.value == 7
    shutil.rmtree(folder)
    until(lambda: set(_standings(server)) == {7})
    assert server.compress(png(16, 16)), "what is in memory needs no folder"
