"""Makes fine_tuning_bert.ipynb of fine_tuning_bert.py and runs it: `python examples/make_notebook.py [OUT.ipynb]`.

Needs the small encoder that `make demo` installs. The notebook keeps what its cells show, and nothing of the machine
that ran them: no times, no paths, no versions.
"""

import hashlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "fine_tuning_bert.py"
NOTEBOOK = FOLDER / "fine_tuning_bert.ipynb"


def unrun_notebook() -> NotebookNode:
    """Reads the source as a notebook without outputs; the id of a cell follows from what it says."""
    notebook = jupytext.read(SOURCE)
    header = notebook.metadata
    # The formats pair the two files in Jupyter.
    notebook.metadata = NotebookNode(
        jupytext={"formats": header.jupytext.formats},
        kernelspec=header.kernelspec,
        language_info={"name": "python"},
    )
    for cell in notebook.cells:
        cell.id = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
    nbformat.validate(notebook)
    return notebook


def run(notebook: NotebookNode) -> None:
    """Runs all cells in a fresh kernel of this Python.

    Raises:
        CellExecutionError: a cell failed.
        RuntimeError: a cell wrote to standard error, for instance a warning.
    """
    metadata = notebook.metadata.copy()
    with TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook,
            timeout=1200,
            kernel_name="python3",
            resources={"metadata": {"path": scratch}},
            record_timing=False,
            coalesce_streams=True,
            # Its warning that anyone on this machine can listen is for kernels that serve people.
            extra_arguments=["--log-level=ERROR"],
        )
        client.execute()
    notebook.metadata = metadata  # the client puts the version of Python into it
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise RuntimeError(f"a cell wrote to standard error:\n{cell.source}\n\n{output.text}")


def main(out: Path) -> None:
    """Makes, runs and writes the notebook."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # The hub's client wants ipywidgets for its progress bars; here nothing is downloaded.
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    notebook = unrun_notebook()
    run(notebook)
    nbformat.write(notebook, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK)
