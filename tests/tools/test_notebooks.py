"""The notebooks are what their source says, and run from top to bottom."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from tools.notebooks import running, stories

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
AGAIN = "run python -m tools.notebooks"


def stored(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def outputs(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook) -> list[Image.Image]:
    found = [output.data["image/jpeg"] for output in outputs(notebook) if "image/jpeg" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def said(notebook) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def test_folder_holds_a_notebook_of_each_story_and_no_other():
    assert {path.stem for path in FOLDER.iterdir()} == set(stories.STORIES)


@pytest.mark.parametrize("name", stories.STORIES)
def test_notebook_says_what_its_source_says(name):
    cells = [[(cell.cell_type, cell.source) for cell in notebook.cells]
             for notebook in (stored(name), stories.notebook(name))]
    assert cells[0] == cells[1], AGAIN
    nbformat.validate(stored(name))


@pytest.mark.parametrize("name", stories.STORIES)
def test_notebook_was_run_and_shows_pictures(name):
    notebook = stored(name)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), AGAIN
    assert all(output.output_type in ("stream", "display_data") for output in outputs(notebook)), "no error"
    sizes = [picture.size for picture in pictures(notebook)]
    assert len(sizes) >= (1 if name == "own_model" else 6) and all(width > 500 for width, _ in sizes)


def test_notebooks_of_the_papers_show_the_models_that_come_along():
    """After other weights were bundled they have to be run again."""
    from lic import resources, weights
    for name, script in (("tcm", "lsk2023"), ("swint_charm", "zyc2022"), ("elic", "hypmqw2022")):
        about = weights.describe(resources.bundled(script))
        assert f"{script} {about['preset']}, weights {about['weights_id']}: " in said(stored(name)), AGAIN


def test_notebooks_are_small_enough_to_be_looked_at():
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert sum(sizes) < 1.5e6


@pytest.mark.slow
@pytest.mark.parametrize("name", stories.STORIES)
def test_notebook_runs_from_top_to_bottom(name):
    fresh, kept = running.executed(stories.notebook(name)), stored(name)
    assert len(pictures(fresh)) == len(pictures(kept))
    assert [cell.execution_count for cell in fresh.cells if cell.cell_type == "code"][-1] > 5
