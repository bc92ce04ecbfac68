"""Runs a notebook as a visitor would, in an empty folder of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbclient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900   # for one cell, on a busy machine


def executed(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its outputs.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", record_timing=False,
                                         coalesce_streams=True, resources={"metadata": {"path": folder}})
        client.execute(env=environment)
    notebook.metadata.pop("language_info", None)   # it names the version of this Python
    return notebook
