"""Execute the notebooks beside this file and store what they show: `python -m tdpcheck.docs.notebooks.refresh`.

What differs from run to run or from machine to machine is not stored: execution counts, times, and the plain form of what has an HTML
form. So a notebook that is executed again is the same file, which a test checks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

nbformat: Any = untyped_nbformat  # half of its functions do not say their types
FOLDER = Path(__file__).parent
TIMEOUT = 600


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this file. Whatever kernels are installed on the machine do not matter."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def notebooks() -> tuple[Path, ...]:
    return tuple(sorted(FOLDER.glob("*.ipynb")))


def executed(text: str) -> str:
    """A notebook, executed from its first cell to its last.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.reads(text, as_version=4)
    with tempfile.TemporaryDirectory(prefix="tdpcheck-") as folder:
        # Sockets in a folder of our own: no port is opened.
        manager = AsyncKernelManager(kernel_spec_manager=_ThisPython(), transport="ipc", connection_file=str(Path(folder, "kernel.json")))
        client = NotebookClient(notebook, km=manager, timeout=TIMEOUT, record_timing=False, coalesce_streams=True)
        client.execute(cwd=folder, cleanup_kc=True)
    return written(notebook)


def written(notebook: Any) -> str:
    """The text of a notebook, as it is stored."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
            if "text/html" in output.get("data", {}):
                output.data.pop("text/plain", None)
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook)
    return text.rstrip("\n") + "\n"


def main() -> None:
    for path in notebooks():
        path.write_text(executed(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{path.name}: executed and stored")


if __name__ == "__main__":
    main()
