"""`demo` before the page stands: what is wrong is one line, said before TensorFlow comes up."""

from __future__ import annotations

import pytest

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
    ran = process("-c", LACKING + run, cwd=tmp_path, PYTHONPATH=str(pytest.importorskip("config").__file__[:-10]))
    assert (ran.code, ran.out, len(ran.lines)) == (code, "", 1) and said in ran.err


def test_old_python_is_told_which_it_takes(monkeypatch):
    from lic.demo import server
    from lic.errors import UsageError
    monkeypatch.setattr(server.sys, "version_info", (3, 9, 18))
    with pytest.raises(UsageError, match=r"Python 3\.10 or 3\.11"):
        server.demand()
