"""`tdpcheck mcp`: the protocol's own client asks over standard input and output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from tdpcheck.tests.calling import Call

if TYPE_CHECKING:
    import mcp

RACE = """
    CPU0 (share)                                CPU1 (register)
    ============                                ===============
    write_lock(&kvm->mmu_lock)
                                                write_lock(&kvm->mmu_lock)
"""


def asked(what: Callable[[mcp.Client], Awaitable[Any]]) -> Any:
    """What a client makes of a server that it has started."""
    import mcp  # takes longer than all other imports together

    async def connected() -> Any:
        command = mcp.StdioServerParameters(command=sys.executable, args=["-P", "-m", "tdpcheck.cli.start", "mcp"])
        async with mcp.Client(command) as client:
            return await what(client)

    return asyncio.run(connected())


@pytest.mark.slow
def test_a_program_asks() -> None:
    """One session: what there is, a known bug, a bad patch, a race, a counterexample that is none."""
    times: list[float] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        times.append(progress)

    async def session(client: mcp.Client) -> dict[str, Any]:
        tools = await client.list_tools()
        known = await client.call_tool("list_known", {"kind": "changes"})
        change = {"patch": "noncoherent-after-export", "scenarios": ["noncoherent-export"], "seconds": 60}
        found = await client.call_tool("verify_change", change, progress_callback=heard)
        bad = await client.call_tool("verify_change", {"patch": "no diff\nat all\n", "seconds": 30})
        race = await client.call_tool("decide_race", {"diagram": RACE, "seconds": 60})
        none = await client.call_tool("read_counterexample", {"document": "{}"})
        return {"tools": tools, "known": known, "found": found, "bad": bad, "race": race, "none": none}

    said = asked(session)

    assert {t.name for t in said["tools"].tools} == {
        "list_known",
        "verify_change",
        "decide_race",
        "explain_property",
        "read_counterexample",
    }
    assert all(t.description for t in said["tools"].tools)
    assert "noncoherent-after-export" in json.dumps(said["known"].structured_content)
    found = said["found"].structured_content
    assert 1 == found["exit_code"]
    assert {"reject_noncoherent_dma"} == {each["property"] for each in found["introduced"]}
    assert "VIOLATED reject_noncoherent_dma" in found["text"]
    assert times == sorted(times)
    assert said["bad"].is_error
    assert "change.patch" in said["bad"].content[0].text
    assert "possible" == said["race"].structured_content["answer"]
    assert said["none"].is_error


def test_without_its_package_it_says_what_to_install(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad use: exit code 2."""
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "tdpcheck.cli.tools", raising=False)
    result = call("mcp")

    assert 2 == result.exit_code
    assert "pip install 'tdpcheck[mcp]'" in result.stderr
