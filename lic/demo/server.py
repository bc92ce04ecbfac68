"""Serves the page on this machine alone, until Ctrl-C.

Gotcha: Gradio reads its environment when it is imported, so `page`, which imports it, comes after that is set.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lic import drafts, ports
from lic.errors import UsageError
from lic.evaluation import learned
from lic.evaluation.classical import Classical

if TYPE_CHECKING:
    from lic.codec import Codec

HOST = "127.0.0.1"
_LARGEST_FILE = "200mb"


def demand(port: int | None) -> None:
    """Raises a UsageError where Gradio is missing or the port is taken, before a model is loaded."""
    if sys.version_info < (3, 10):
        raise UsageError("the page needs Python 3.10 or 3.11: there is no Gradio for 3.9 that goes with our Pillow")
    if importlib.util.find_spec("gradio") is None:
        raise UsageError("the page needs Gradio: pip install '.[demo]'")
    if port:
        ports.demand(HOST, port, "--port")


def serve(codec: Codec, against: Sequence[Classical], port: int | None) -> None:
    """Shows the page until Ctrl-C.

    Args:
      port: None for the first that is free from 7860 on.
    Raises:
      UsageError: the port is taken.
    """
    with drafts.beside(os.path.join(tempfile.gettempdir(), "demo"), drafts.new_folder) as (folder, _):
        # What is dropped goes with the folder; no statistics and no question for newer versions leave the machine.
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1",
                          HF_HUB_DISABLE_TELEMETRY="1")
        from lic.demo import page
        learned.warm_up([codec])
        blocks = page.Page(codec, against, folder).blocks
        address = _launch(blocks, port)
        print(f"{address} (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)


def _launch(blocks, port: int | None) -> str:
    import gradio as gr

    from lic.demo import views
    plain = ("ui-sans-serif", "system-ui", "sans-serif")   # others would be asked of a server elsewhere
    theme = gr.themes.Default(primary_hue="blue", font=plain, font_mono=("ui-monospace", "monospace"))
    try:
        blocks.launch(server_name=HOST, server_port=port, share=False, quiet=True, prevent_thread_lock=True,
                      max_file_size=_LARGEST_FILE, footer_links=[], theme=theme, css=views.STYLE, ssr_mode=False,
                      pwa=False, mcp_server=False, enable_monitoring=False)
    except OSError:   # taken since; Gradio says it in other words
        taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        raise ports.refusal(HOST, port or 7860, taken, "--port") from None
    return blocks.local_url
