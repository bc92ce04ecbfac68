"""What the notebooks say: for each paper the same steps with its own words, and one about a model of one's own."""

from __future__ import annotations

from typing import Callable

import nbformat
from nbformat import NotebookNode

from tools.notebooks import own_model, paper

STORIES: dict[str, Callable[[], list[str]]] = {
    "tcm": lambda: paper.cells("lsk2023"),
    "swint_charm": lambda: paper.cells("zyc2022"),
    "elic": lambda: paper.cells("hypmqw2022"),
    "own_model": own_model.cells,
}


def notebook(name: str) -> NotebookNode:
    """A notebook without outputs. A cell that begins with a heading is prose."""
    cells = [_cell(text.strip("\n"), number) for number, text in enumerate(STORIES[name]())]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _cell(text: str, number: int) -> NotebookNode:
    if text.startswith("#"):
        return nbformat.v4.new_markdown_cell(text, id=f"prose-{number}")
    return nbformat.v4.new_code_cell(text, id=f"code-{number}")
