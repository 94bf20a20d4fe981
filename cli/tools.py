"""What a program may ask by the Model Context Protocol.

Each tool is one call of the command line in a process of its own, with its limit of time: what a program is told is what a person would be.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from ..runner.exit_codes import ExitCode
from ..runner.museum.items import shipped_items

MOST = 3600.0
"""So many seconds a tool may take at most."""
LATE = 1.1, 10.0
"""A call that has not ended by itself at this multiple of its time and so many seconds later is ended."""
TOLD = 20
"""So many violations are listed; all of them are in the text or counted."""
Kind = Literal["properties", "scenarios", "changes", "designs", "intrinsics", "flows", "goals"]


def server() -> MCPServer:
    """The server, with its tools."""
    made = MCPServer("tdpcheck", title="tdpcheck", instructions=__doc__)
    for tool in (list_known, verify_change, decide_race, explain_property, read_counterexample):
        made.tool()(tool)
    return made


async def list_known(context: Context, kind: Kind = "properties") -> dict[str, Any]:
    """What there is to ask about: properties, scenarios, changes (known bugs, by name), designs, intrinsics, flows or goals."""
    return dict(await _document(context, ["list", kind, "--json"], 60))


async def verify_change(
    context: Context,
    patch: str,
    scenarios: Sequence[str] = (),
    properties: Sequence[str] = (),
    matrix: bool = False,
    seconds: float = 300,
) -> dict[str, Any]:
    """Check a change of the shipped kernel C: does it break a property, and in which run?

    Args:
        patch: a diff, a mail or an mbox with a series, as text; or the name of a known change.
        scenarios: ask there alone; by default, in all that are shipped.
        properties: ask these alone.
        matrix: ask every pair of flows that runs a changed function, in place of the scenarios.
        seconds: for everything; what is not answered by then is unknown.
    """
    chosen = [*(f"--scenario={name}" for name in scenarios), *(f"--property={name}" for name in properties), *(["--matrix"] * matrix)]
    with tempfile.TemporaryDirectory() as folder:
        given = patch.strip()
        if given not in shipped_items():  # the name of a file is none: a program has no say in what is read here
            given = str(Path(folder, "change.patch"))
            Path(given).write_text(patch, encoding="utf-8")
        out = str(Path(folder, "out"))
        limits = [f"--timeout={seconds}", f"--total={seconds}", "--no-certify", f"--out={out}"]
        said, code = await _called(context, ["verify", f"--change={given}", *chosen, *limits], seconds)
        run = json.loads(Path(out, "run.json").read_bytes())
    answers = [{key: each.get(key) for key in ("scenario", "property", "change", "verdict", "label", "reason")} for each in run["results"]]
    wrong = [each for each in answers if each["label"] == "introduced"]
    counted: dict[str, int] = {}
    for each in answers:
        counted[each["verdict"]] = counted.get(each["verdict"], 0) + 1
    means = next(each.meaning for each in ExitCode if each == code)
    return {"exit_code": code, "means": means, "answers": counted, "introduced": wrong[:TOLD], "text": said}


async def decide_race(context: Context, diagram: str, patch: str = "", seconds: float = 60) -> dict[str, Any]:
    """Decide whether a claimed race can happen: possible (with a whole run, and what it breaks), impossible, or not understood.

    Args:
        diagram: the part of a mail with a column for each CPU, what it does below, time downwards.
        patch: look in the kernel C with this change.
        seconds: for everything.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "race.txt").write_text(diagram, encoding="utf-8")
        change = []
        if patch:
            Path(folder, "change.patch").write_text(patch, encoding="utf-8")
            change = [f"--change={Path(folder, 'change.patch')}"]
        return dict(await _document(context, ["race", str(Path(folder, "race.txt")), *change, f"--timeout={seconds}", "--json"], seconds))


async def explain_property(context: Context, name: str, scenario: str = "", seconds: float = 300) -> dict[str, Any]:
    """Why a property holds for every size, lemma by lemma, each checked for this answer.

    Args:
        name: of the property.
        scenario: for any number of its threads; by default, a small one.
        seconds: for everything.
    """
    where = [f"--scenario={scenario}"] if scenario else []
    return dict(await _document(context, ["explain", *where, f"--timeout={seconds}", "--json", "--", name], seconds))


async def read_counterexample(context: Context, document: str, seconds: float = 60) -> dict[str, Any]:
    """Run a stored counterexample (*.cex.json, as text) again, and tell it: whether it is a run, whether it violates the property, and how.

    Args:
        document: the file's text.
        seconds: for each of the two.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "given.cex.json")
        file.write_text(document, encoding="utf-8")
        replayed = await _document(context, ["replay", str(file), "--json"], seconds)
        text, _ = await _called(context, ["show", str(file)], seconds)
    return {"replay": replayed, "text": text}


async def _document(context: Context, arguments: Sequence[str], seconds: float) -> Any:
    said, _ = await _called(context, arguments, seconds)
    return json.loads(said)


async def _called(context: Context, arguments: Sequence[str], seconds: float) -> tuple[str, int]:
    """What the command line prints, and its exit code.

    Raises:
        ToolError: bad input, in the words of the command; or it did not end.
    """
    if not 0 < seconds <= MOST:
        raise ToolError(f"seconds = {seconds}: give more than 0, and {MOST:.0f} at most")
    factor, late = LATE
    command = [sys.executable, "-P", "-m", "tdpcheck.cli.start", *arguments]
    out, err = bytearray(), bytearray()
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            with anyio.move_on_after(seconds * factor + late):
                async with anyio.create_task_group() as beside:
                    beside.start_soon(_progress, context, seconds)
                    async with anyio.create_task_group() as reading:
                        reading.start_soon(_gather, process.stdout, out)
                        reading.start_soon(_gather, process.stderr, err)
                    await process.wait()
                    beside.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)  # with the processes that it has started
    code = process.returncode
    if code not in (ExitCode.HOLDS.value, ExitCode.VIOLATED.value, ExitCode.UNKNOWN.value):
        why = err.decode(errors="replace").strip() or "it was ended"
        raise ToolError(f"tdpcheck {arguments[0]}: {why}")
    return out.decode(), code


async def _gather(stream: Any, into: bytearray) -> None:
    async for part in stream:
        into += part


async def _progress(context: Context, seconds: float) -> None:
    begun = anyio.current_time()
    while True:
        await anyio.sleep(1)
        await context.report_progress(anyio.current_time() - begun, seconds)
