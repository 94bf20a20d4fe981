"""A headless Chromium that may not talk to anybody, and what it saw of a page."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--disable-dev-shm-usage", "--force-color-profile=srgb",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; where there is none the test is skipped, or fails if TDPCHECK_REQUIRE_BROWSER=1."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        why = "no chromium is on this machine: apt-get install chromium"
        if os.environ.get("TDPCHECK_REQUIRE_BROWSER") == "1":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """A page that was opened: what it asked for, and what it complained about."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def opened(
    browser: Browser, path: Path, *, hash: str = "", javascript: bool = True, scheme: str = "light", width: int = 1400, height: int = 900
) -> Iterator[Seen]:
    """Open a file. Every request is noted, and none but the file's own is answered."""
    context = browser.new_context(
        java_script_enabled=javascript,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"] if javascript else [],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    seen = Seen(page, path.as_uri())

    def answer(route: Route) -> None:
        seen.requests.append(route.request.url)
        if route.request.url.partition("#")[0] == seen.url:
            route.continue_()
        else:
            route.abort()

    context.route("**/*", answer)
    page.on("console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.complaints.append(str(e)))
    page.goto(seen.url + hash)
    try:
        yield seen
    finally:
        context.close()


def pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the rows of a PNG as 8-bit RGB."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, width, height, samples = 8, b"", 0, 0, 0
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            samples = {2: 3, 6: 4}[colour]
            assert depth == 8
        elif kind == b"IDAT":
            data += body
        place += length + 12
    raw, stride, above, rows = zlib.decompress(data), width * samples, bytes(width * samples), []
    for y in range(height):
        line = _unfiltered(raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)]), above, samples)
        rows.append(line if samples == 3 else b"".join(line[x : x + 3] for x in range(0, stride, 4)))
        above = line
    return width, height, rows


def _unfiltered(how: int, line: bytearray, above: bytes, samples: int) -> bytes:
    for x in range(len(line)):
        left = line[x - samples] if x >= samples else 0
        up, corner = above[x], above[x - samples] if x >= samples else 0
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda v: abs(guess - v))
        line[x] = (line[x] + (0, left, up, (left + up) // 2, paeth)[how]) & 255
    return bytes(line)
