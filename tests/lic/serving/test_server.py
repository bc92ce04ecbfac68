"""The whole server: how it begins, how it ends, and several models."""

from __future__ import annotations

import signal
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.scripts import ROOT


def test_shutdown_finishes_what_is_under_way_and_takes_no_more(toy, serving, until):
    with serving(f"tiny={toy}", "--workers", 1) as server:
        requests = [server.prediction.Predict.future(server.request("nap", seconds=seconds))
                    for seconds in (3.0, 0.1, 0.2)]
        until(lambda: server.metric("lic_waiting") == 2)
        health = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "closing" in server.process.stdout.readline())
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(OSError):
            until(lambda: socket.create_connection(server.rest.removeprefix("http://").split(":")).close())
        with pytest.raises(grpc.RpcError) as error:   # this door may close a moment after the other
            until(lambda: not server.predict("nap", seconds=0.0))
        # gRPC's own refusal, which depends on the moment
        assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert all(request.result().outputs["slept"].float_val for request in requests)
        _, err = server.process.communicate(timeout=50)
        assert (server.process.returncode, err) == (0, ""), err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_what_is_under_way(how, toy, serving, until):
    with serving(f"tiny={toy}") as server:
        request = server.prediction.Predict.future(server.request("nap", seconds=60.0))
        until(lambda: server.metric("lic_running"))
        server.process.send_signal(how)
        until(lambda: "closing" in server.process.stdout.readline())
        server.process.send_signal(how)
        server.process.communicate(timeout=20)
        assert server.process.returncode == -how and request.exception()


def test_server_in_the_background_of_a_script_does_not_hear_ctrl_c(toy, serving):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)   # a process that is started now inherits it
    try:
        with serving(f"tiny={toy}") as server:
            server.process.send_signal(signal.SIGINT)
            assert server.predict("nap", seconds=1.0)
            assert server.stop() == "closing: requests under way are finished\n"
    finally:
        signal.signal(signal.SIGINT, before)


def test_body_that_never_comes_and_what_is_no_http_cost_a_worker_and_the_log_nothing(toy, serving):
    with serving(f"tiny={toy}", "--timeout", "0.5") as server:
        def answer(data: bytes) -> bytes:
            with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=20) as door:
                door.sendall(data)
                return door.recv(1000)

        start = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nContent-Length: "
        assert b"the request took longer than 0.5 seconds" in answer(start + b"100\r\n\r\nabc")
        assert server.metric("lic_requests_total") == 1, "one that was given up counts"
        for malformed in (b"GET / HTTP/9.9\r\n\r\n", start + b"-5\r\n\r\n", b"GET /" + bytes(100) + b"\r\n\r\n"):
            assert answer(malformed).startswith(b"HTTP/1.")
        assert server.predict("nap", seconds=0.0)
        assert server.stop() == "closing: requests under way are finished\n"


@pytest.mark.slow
def test_request_takes_no_longer_than_the_server_allows(toy, serving):
    with serving(f"tiny={toy}", "--timeout", "0.5") as server:
        with pytest.raises(grpc.RpcError) as error:
            server.predict("nap", timeout=None, seconds=3.0)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        status, answer = server.http("/v1/models/tiny:predict", {"signature_name": "nap", "inputs": 3.0})
        assert status == 504 and answer == {"error": "the request took longer than 0.5 seconds"}
        assert server.stop(signal.SIGINT).startswith("closing") and server.process.returncode == 0


@pytest.mark.slow
def test_several_models_are_served_by_their_names_and_one_that_was_not_exported(exported, saved, serving, png,
                                                                                tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(exported.parent, f"other={saved['hypmqw2022']}") as server:
        for model in (exported.parent.name, "other"):
            request = server.request("compress", model=model, image_bytes=[png(30, 20)])
            assert server.prediction.Predict(request).outputs["file_bytes"].string_val
        assert server.metric("lic_version") == 2
        assert list(tmp_path.iterdir()), "what was exported for the time"
        server.stop()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("flag", "other"), [("--grpc_port", "--rest_port"), ("--rest_port", "--grpc_port")])
def test_port_that_is_taken_is_one_line_before_a_model_is_loaded(flag, other, toy, process):
    run = "import sys; sys.modules['tensorflow'] = None; sys.argv = ['lsk2023.py', *sys.argv[1:]]; " \
          "from lic import cli; cli.main('lsk2023')"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = process("-c", run, "serve", f"tiny={toy}", flag, port, other, 0, cwd=ROOT)
    said = f"lsk2023: can't listen on 127.0.0.1:{port}: Address already in use; give another {flag} or --host\n"
    assert (ran.code, ran.out, ran.err) == (2, "", said)


def test_model_that_can_not_be_loaded_is_one_line(script, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no graph at all")
    ran = script("hypmqw2022", "serve", f"tiny={tmp_path}")
    assert ran.code == 1 and len(ran.lines) == 1, ran.err
    assert ran.err.startswith("hypmqw2022: no version of model 'tiny' can be served")
    assert "tiny version 1 can't be loaded: " in ran.out


def test_missing_extra_is_one_line(process, toy):
    ran = process("-c", "import sys; sys.modules['aiohttp'] = None\nfrom lic import cli; cli.main('lsk2023')",
                  "serve", toy, cwd=ROOT)
    assert (ran.code, ran.out) == (2, "") and "tensorflow" not in ran.err
    assert ran.lines == ["lsk2023: serving needs aiohttp, which is missing: pip install '.[serve]'"]
