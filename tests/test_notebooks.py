"""Every notebook runs from top to bottom in a fresh kernel, quietly, and is kept without outputs."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
LONG = {
    "03_activation_maximization.ipynb",
    "05_your_own_prior.ipynb",
    "07_nearest_neighbors.ipynb",
    "08_embedding.ipynb",
}
"""Thousands of steps or hundreds of photographs."""
CELL_SECONDS = 600

pytestmark = pytest.mark.notebooks


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path, environment: dict[str, str]) -> None:
    """Execute the notebook in ``folder``; a cell that raises, raises here.

    A thread of its own, since a browser test may have left an event loop running in this one.
    """
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with ThreadPoolExecutor(1) as executor:
        executor.submit(client.execute, env=environment).result()


def stderr_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What cells wrote to stderr, with the cell's number."""
    return [
        f"cell {number}: {output.text}"
        for number, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in NAMES]
)
def test_notebook_runs_and_is_quiet(name: str, tmp_path: Path, matplotlib_cache: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "notebooks")
    notebook = read(folder / name)
    run(notebook, folder, {**os.environ, "MPLCONFIGDIR": str(matplotlib_cache)})
    assert not stderr_of(notebook)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_kept_clean(name: str) -> None:
    notebook = read(FOLDER / name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata


def test_a_cell_that_writes_to_stderr_is_found(tmp_path: Path, matplotlib_cache: Path) -> None:
    source = "import pathlib, sys\npathlib.Path('here').touch()\nprint('oh', file=sys.stderr)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    run(notebook, tmp_path, {**os.environ, "MPLCONFIGDIR": str(matplotlib_cache)})
    assert stderr_of(notebook) == ["cell 0: oh\n"]
    assert (tmp_path / "here").exists()
