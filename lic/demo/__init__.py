"""A page to look at a model: `demo` of the command line. Only `page` and `server` know Gradio.

    server ─► page ─► desk ─► compare, heat
                        └───► views (HTML and pictures to show)
"""

from __future__ import annotations
