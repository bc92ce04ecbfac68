"""`demo` before the page stands: what is wrong is one line, said before TensorFlow comes up."""

from __future__ import annotations

import socket

import pytest

from tests.scripts import ROOT

# Nothing of these may be imported: Gradio is not there, and TensorFlow would take seconds.
LACKING = "import sys; sys.modules['gradio'] = sys.modules['tensorflow'] = None; "


@pytest.mark.parametrize(("arguments", "code", "said"), [
    ([], 2, "lsk2023: the page needs Gradio: pip install '.[demo]'"),
    (["--model_path", "absent"], 1, "no model in './absent': there is no such folder"),
    (["--against", "bpg"], 2, "there is no codec 'bpg'"),
    (["--port", "0"], 2, "'0' is not within 1..65535"),
    (["--port", "http"], 2, "invalid PORT value: 'http'"),
    (["picture.png"], 2, "unrecognized arguments: picture.png"),
], ids=lambda x: str(x)[:20])
def test_what_is_wrong_is_one_line(arguments, code, said, process, tmp_path):
    run = f"sys.argv = ['lsk2023.py', 'demo', *{arguments}]; from lic import cli; cli.main('lsk2023')"
    ran = process("-c", LACKING + run, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (ran.code, ran.out, len(ran.lines)) == (code, "", 1) and said in ran.err


def test_port_that_is_taken_is_one_line(process, tmp_path):
    pytest.importorskip("gradio", reason="for Python 3.9 there is none")
    run = "import sys; sys.modules['tensorflow'] = None; sys.argv = ['lsk2023.py', *sys.argv[1:]]; " \
          "from lic import cli; cli.main('lsk2023')"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = process("-c", run, "demo", "--port", port, cwd=ROOT)
    said = f"lsk2023: can't listen on 127.0.0.1:{port}: Address already in use; give another --port\n"
    assert (ran.code, ran.out, ran.err) == (2, "", said)


def test_old_python_is_told_which_it_takes(monkeypatch):
    from lic.demo import server
    from lic.errors import UsageError
    monkeypatch.setattr(server.sys, "version_info", (3, 9, 18))
    with pytest.raises(UsageError, match=r"Python 3\.10 or 3\.11"):
        server.demand(None)
