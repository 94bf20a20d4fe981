"""Berkeley ABC, where it is installed: an outsider's opinion on what we export."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tdpcheck.checker.circuits.circuit import circuit
from tdpcheck.checker.export.aiger import binary_aiger
from tdpcheck.core.ground import GroundSystem
from tdpcheck.core.system import Property
from tdpcheck.core.verdict import Proved, Violated

ABC = shutil.which("berkeley-abc") or shutil.which("abc")


def ask_abc(file: Path, commands: str) -> str:
    """What ABC prints when it reads a file and runs commands."""
    assert ABC is not None
    # ABC keeps a history in the folder that it runs in.
    return subprocess.run([ABC, "-c", f"read_aiger {file}; {commands}"], cwd=file.parent, capture_output=True, text=True, check=True).stdout


def abc_verdict(grounded: GroundSystem, prop: Property) -> type[Proved | Violated]:
    """What ABC's PDR says of the exported system."""
    made = circuit(grounded, prop)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "system.aig"
        file.write_bytes(binary_aiger(made, prop))
        said = ask_abc(file, "pdr")
    assert "don't-care" not in said, said
    if "Property proved" in said:
        return Proved
    assert "was asserted in frame" in said, said
    return Violated
