"""TF_CONFIG: who trains together, and what is wrong with it."""

from __future__ import annotations

import json
import socket

import pytest

from lic.errors import UsageError
from lic.training import cluster
from tests.lic.training.runs import run_of

TWO = ["a:1234", "b.example:1234"]


@pytest.fixture
def named(monkeypatch):
    """named(x): the cluster of TF_CONFIG, which is x, as JSON where it is no text."""
    def of(value) -> cluster.Cluster | None:
        monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))
        return cluster.from_environment()
    return of


def task(kind, index) -> dict:
    return {"type": kind, "index": index}


def test_machines_are_counted_from_the_one_that_leads(named):
    workers = {"worker": TWO}
    assert named({"cluster": workers, "task": task("worker", 0)}) == (tuple(TWO), 0)
    assert named({"cluster": workers, "task": task("worker", "1")}) == (tuple(TWO), 1)   # schedulers write texts
    led = {"worker": TWO, "chief": ["c:99"]}
    for kind, index, number in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        assert named({"cluster": led, "task": task(kind, index)}) == (("c:99", *TWO), number)
    assert named({"cluster": {"worker": ["[::1]:1", "b:65535"]}, "task": task("worker", 1)}).port == 65535


def test_machine_alone_is_no_cluster(named, monkeypatch):
    for config in ("", "{}", {"task": task("worker", 0)}, {"cluster": {"worker": ["a:1"]}, "task": task("worker", 0)},
                   {"cluster": {"worker": [], "chief": ["a:1"]}, "task": task("chief", 0)}):
        assert named(config) is None
    monkeypatch.delenv("TF_CONFIG")
    assert cluster.from_environment() is None


@pytest.mark.parametrize(("config", "words"), [
    ("{'cluster'", "TF_CONFIG is no JSON: "),
    ("[]", "TF_CONFIG is no JSON object"),
    ({"cluster": TWO}, "'cluster' is not of the form"),
    ({"cluster": {"worker": "a:1"}}, "'cluster' is not of the form"),
    ({"cluster": {"worker": TWO, "ps": ["c:1"]}, "task": task("worker", 0)}, "none of the type 'ps'"),
    ({"cluster": {"chief": TWO}, "task": task("chief", 0)}, "more than one chief"),
    ({"cluster": {"worker": TWO}}, "'task' is not of the form"),
    ({"cluster": {"worker": TWO}, "task": {"type": "worker"}}, "'task' is not of the form"),
    ({"cluster": {"worker": TWO}, "task": task("worker", "x")}, "'task' is not of the form"),
    ({"cluster": {"worker": TWO}, "task": task("evaluator", 0)}, "type 'evaluator' is not in the cluster, which has"),
    ({"cluster": {"worker": TWO}, "task": task("worker", 2)}, "number 2 of type 'worker', of which there are 2"),
    ({"cluster": {"worker": TWO}, "task": task("worker", -1)}, "number -1 of type 'worker'"),
    ({"cluster": {}, "task": task("worker", 0)}, "which has no machine"),
    ({"cluster": {"worker": ["a:1", "a:1"]}, "task": task("worker", 0)}, "an address twice: a:1, a:1"),
    *(({"cluster": {"worker": ["a:1", address]}, "task": task("worker", 0)}, f"'{address}' is no HOST:PORT")
      for address in ("b", "b:", ":1", "b:0", "b:65536", "b:x", "b:-1", 7)),
])
def test_wrong_cluster_is_misuse_in_a_line(named, config, words):
    with pytest.raises(UsageError) as error:
        named(config)
    assert words in str(error.value) and "\n" not in str(error.value) and "TF_CONFIG" in str(error.value)


def test_what_several_machines_cannot_do_is_told_before_they_meet(settings, named, tmp_path):
    with socket.create_server(("", 0)) as taken:
        addresses = [f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1"]
        named({"cluster": {"worker": addresses}, "task": task("worker", 0)})
        with pytest.raises(UsageError, match="--batchsize 3 can't be shared evenly by 2 devices: give a multiple of 2"):
            run_of(settings(batchsize=3))
        with pytest.raises(UsageError, match="--xla compiles the step of one device, and there are 2"):
            run_of(settings(), xla=True)
        words = r"can't listen on 0\.0\.0\.0:\d+: Address already in use; give another port of TF_CONFIG"
        with pytest.raises(UsageError, match=words):
            run_of(settings())
    assert not list(tmp_path.iterdir())
