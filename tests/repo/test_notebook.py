"""The notebook runs from its first cell to its last."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "colorjax.ipynb"


def test_the_notebook_is_sound_and_empty_of_results():
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOK, 4)
    source = notebook.cells[1].source
    notebook.cells[1].source = source.replace(
        'SOURCE = ".."', f"SOURCE = {str(NOTEBOOK.parents[1])!r}"
    )
    assert notebook.cells[1].source != source
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(NOTEBOOK.parents[1]))
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    texts = [
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    assert any("largest change of L: 0." in text for text in texts)
    assert any(text.startswith("step ") for text in texts)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
