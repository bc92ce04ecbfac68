"""Versions that come, go and are broken while a real server serves."""

from __future__ import annotations

import shutil
import threading

import pytest
from tensorflow_serving.apis import get_model_status_pb2


def _standings(server) -> dict[int, tuple[str, str]]:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "tiny"})
    return {each.version: (each.State.Name(each.state), each.status.error_message)
            for each in server.models.GetModelStatus(request).model_version_status}


@pytest.fixture(scope="module")
def watched(toy, serving, tmp_path_factory):
    """(the folder of versions, a server that looks into it often); each test puts higher versions there."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(toy, folder / "1")
    with serving(f"tiny={folder}", "--poll", "0.1") as server:
        yield folder, server


def _put(source, folder, number: int) -> None:
    """As a whole, the way that `export` writes it."""
    shutil.copytree(source, folder / "draft")
    (folder / "draft").rename(folder / str(number))


def _answers(server, seconds: float = 0.0) -> int:
    """The version that answers."""
    return server.predict("nap", seconds=seconds).model_spec.version.value


def test_model_is_swapped_while_serving_and_a_broken_one_is_told_of(watched, toy, until):
    folder, server = watched
    seen, failed, stop = [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.append(_answers(server, 0.02))
            except Exception as error:
                failed.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"no graph at all")
    until(lambda: _standings(server).get(2, ("",))[0] == "END")
    assert _standings(server)[1] == ("AVAILABLE", "") and _standings(server)[2][1]
    _put(toy, folder, 3)
    until(lambda: _standings(server).get(3) == ("AVAILABLE", ""))
    until(lambda: _standings(server)[1] == ("END", ""))
    until(lambda: seen[-1] == 3)
    stop.set()
    for client in clients:
        client.join()
    assert not failed and set(seen) == {1, 3} and seen[0] == 1


def test_version_that_is_still_copied_is_loaded_when_it_is_whole(watched, toy, until):
    folder, server = watched
    (folder / "4").mkdir()
    shutil.copy(toy / "saved_model.pb", folder / "4")
    until(lambda: _standings(server).get(4, ("",))[0] == "END")
    shutil.copytree(toy / "variables", folder / "4" / "variables")
    until(lambda: _standings(server)[4] == ("AVAILABLE", ""))


def test_version_serves_until_its_last_request_ends(watched, toy, until):
    folder, server = watched
    _put(toy, folder, 5)
    until(lambda: _standings(server).get(5) == ("AVAILABLE", ""))
    under_way = server.prediction.Predict.future(server.request("nap", seconds=4.0))
    until(lambda: server.metric("lic_running") == 1)
    _put(toy, folder, 6)
    until(lambda: _standings(server).get(6) == ("AVAILABLE", ""))
    assert not under_way.done() and _standings(server)[5] == ("UNLOADING", "")
    assert _answers(server) == 6
    assert under_way.result().model_spec.version.value == 5
    until(lambda: _standings(server)[5] == ("END", ""))


def test_version_that_is_removed_gives_way_to_the_one_below(watched, toy, until):
    folder, server = watched
    for number in (7, 8):
        _put(toy, folder, number)
        until(lambda number=number: _standings(server).get(number) == ("AVAILABLE", ""))
    shutil.rmtree(folder / "8")
    until(lambda: _standings(server)[7] == ("AVAILABLE", ""))
    assert _answers(server) == 7
    shutil.rmtree(folder)
    until(lambda: set(_standings(server)) == {7})
    assert _answers(server) == 7, "what is in memory needs no folder"
