"""The whole server: how it begins, how it ends, and several models."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_shutdown_finishes_what_is_under_way_and_takes_no_more(exported, serving, flat, until):
    with serving(f"tiny={exported}", "--workers", 1) as server:
        requests = [server.prediction.Predict.future(server.request("compress", image_bytes=[picture]))
                    for picture in (flat(1500, 1500), flat(16, 16), flat(20, 20))]
        until(lambda: server.metric("lic_waiting") == 2)
        with socket.create_connection(server.address.split(":")) as connection:
            assert connection.getpeername()[0] == "127.0.0.1"
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "closing" in server.process.stdout.readline())
        with pytest.raises(OSError):
            until(lambda: socket.create_connection(server.rest.removeprefix("http://").split(":")).close())
        for request in requests:
            assert request.result().outputs["file_bytes"].string_val
        with pytest.raises(grpc.RpcError) as error:
            server.compress(flat(16, 16))
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        _, err = server.process.communicate(timeout=60)
        assert (server.process.returncode, err) == (0, ""), err


@pytest.mark.slow
def test_several_models_are_served_by_their_names_and_one_that_was_not_exported(exported, trained, serving, png,
                                                                                tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(exported.parent, f"other={trained}") as server:
        for model in (exported.parent.name, "other"):
            request = server.request("compress", model=model, image_bytes=[png(30, 20)])
            assert server.prediction.Predict(request).outputs["file_bytes"].string_val
        assert server.metric("lic_version") == 2
        assert list(tmp_path.iterdir()), "what was exported for the time"
        assert server.stop(signal.SIGINT).startswith("closing") and server.process.returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "other"), [("--grpc_port", "--rest_port"), ("--rest_port", "--grpc_port")])
def test_port_that_is_taken_is_one_line(flag, other, server, exported, script):
    port = server.address.rsplit(":", 1)[1]
    ran = script("hypmqw2022", "serve", f"tiny={exported}", flag, port, other, "0")
    assert ran.code == 2 and f"can't listen on 127.0.0.1:{port}" in ran.err and flag in ran.err
    assert len(ran.lines) == 1, ran.err


def test_model_that_can_not_be_loaded_is_one_line(script, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no graph at all")
    ran = script("hypmqw2022", "serve", f"tiny={tmp_path}")
    assert ran.code == 1 and len(ran.lines) == 1, ran.err
    assert ran.err.startswith("hypmqw2022: no version of model 'tiny' can be served")
    assert "tiny version 1 can't be loaded: " in ran.out


def test_missing_extra_is_one_line(process, exported):
    ran = process("-c", "import sys; sys.modules['aiohttp'] = None\nfrom lic import cli; cli.main('lsk2023')",
                  "serve", exported, cwd=ROOT)
    assert (ran.code, ran.out) == (1, "") and "tensorflow" not in ran.err
    assert ran.lines == ["lsk2023: serving needs aiohttp, which is missing: pip install 'lic-tf[serve]'"]
