"""Rate and distortion of models beside classical codecs, measured on real files: `evaluate` of the command line.

    settings (classical, learned) ─► measuring ─► averages ─► results ─► report (tables, plots, page)
"""

from __future__ import annotations
