"""The explorer's page from the outside: who is answered, what is refused, and that nothing but the session is ever touched."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tdpcheck.cli.explorer.web import LARGEST, Server, listening
from tdpcheck.core.errors import InputError
from tdpcheck.counterexamples.schema import load
from tdpcheck.tests.calling import QUICK

from . import exploring
from .exploring import AIM

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with exploring.served(exploring.opened(tmp_path_factory.mktemp("opened"))) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.session.begin(0)
    return running


def asked(
    server: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def done(server: Server, **command: Any) -> dict[str, Any]:
    status, _, content = asked(server, "POST", f"/{server.token}/do", json.dumps(command).encode(), JSON)
    assert status == 200, content
    answer: dict[str, Any] = json.loads(content)
    return answer


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_the_page_stands_alone_and_may_run_only_its_own_script(server: Server) -> None:
    status, headers, content = asked(server, "GET", f"/{server.token}/")
    text = content.decode()
    (key,) = set(re.findall(r'nonce="([^"]+)"', text))
    policy = headers["content-security-policy"]

    assert status == 200
    assert f"script-src 'nonce-{key}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["cache-control"], headers["referrer-policy"], headers["x-content-type-options"]) == (
        "no-store",
        "no-referrer",
        "nosniff",
    )
    assert headers["server"].startswith("tdpcheck")
    assert "Python" not in headers["server"]
    assert not re.findall(r"https?://", text)
    assert key != re.findall(r'nonce="([^"]+)"', asked(server, "GET", f"/{server.token}/")[2].decode())[0]
    assert asked(server, "HEAD", f"/{server.token}/")[2] == b""


@pytest.mark.parametrize("path", ["/", "", "/wrong/", "/wrong/state", "/state", "/{}x/state", "/{}", "/é/state"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_who_does_not_know_the_token_learns_nothing(server: Server, method: str, path: str) -> None:
    path = path.replace("{}", server.token)
    status, _, content = _raw(server, f"{method} {path or '/'} HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\n\r\n")

    assert status == 403
    assert QUICK.encode() not in content


def _raw(server: Server, request: str) -> tuple[int, bytes, bytes]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, content


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{}", "evil.example:{}", "", "[::1]:{}"]
)
def test_a_page_whose_name_leads_here_is_refused(server: Server, host: str) -> None:
    """DNS rebinding: the browser believes that it talks to another site, and says so in the Host header."""
    host = host.replace("{}", str(server.port))

    assert _raw(server, f"GET /{server.token}/state HTTP/1.0\r\nHost: {host}\r\n\r\n")[0] == 403
    assert _raw(server, f"GET /{server.token}/state HTTP/1.0\r\n\r\n")[0] == 403
    assert asked(server, "GET", f"/{server.token}/state", headers={"Host": f"localhost:{server.port}"})[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"])
def test_another_sites_page_cannot_give_commands(server: Server, origin: str) -> None:
    body = b'{"do": "take", "number": 0}'

    assert asked(server, "POST", f"/{server.token}/do", body, JSON | {"Origin": origin})[0] == 403
    assert asked(server, "POST", f"/{server.token}/do", body, {"Content-Type": "text/plain"})[0] == 415
    assert asked(server, "POST", f"/{server.token}/do", body, {"Content-Type": "application/x-www-form-urlencoded"})[0] == 415
    assert server.session.depth == 0
    assert asked(server, "POST", f"/{server.token}/do", body, JSON | {"Origin": f"http://127.0.0.1:{server.port}"})[0] == 200
    assert server.session.depth == 1


PATHS = [
    "page.html", "do", "web.py", "../web.py", "../../../../../../etc/passwd", "..%2f..%2f..%2fetc/passwd", "%2e%2e/page.html",
    "/etc/passwd", "state/", "trace/../page.html", "picture.png", "\\..\\page.html",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(server: Server, path: str) -> None:
    status, _, content = asked(server, "GET", f"/{server.token}/{path}")

    assert (status, content) == (404, b"there is no such page\n")
    assert asked(server, "POST", f"/{server.token}/{path.replace('do', 'state')}", b"{}", JSON)[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"do": 3}', b'{"do": "take", "file": "x"}', b"[" * 90_000, b"\xff"])
def test_what_is_no_command_is_refused(server: Server, body: bytes) -> None:
    assert asked(server, "POST", f"/{server.token}/do", body, JSON)[0] == 400
    assert server.session.depth == 0


@pytest.mark.parametrize("length", ["", "x", "-1", str(LARGEST + 1), "9" * 30])
def test_a_command_says_how_long_it_is_and_is_not_too_long(server: Server, length: str) -> None:
    head = f"POST /{server.token}/do HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"

    assert _raw(server, head + (f"Content-Length: {length}\r\n" if length else "") + "\r\n")[0] == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"])
def test_there_are_no_other_methods(server: Server, method: str) -> None:
    assert asked(server, method, f"/{server.token}/state")[0] == 501


def test_commands_do_what_the_session_does(server: Server) -> None:
    start = json.loads(asked(server, "GET", f"/{server.token}/state")[2])
    taken = done(server, do="take", at=0, number=0)
    undone = done(server, do="undo")
    again = done(server, do="redo")
    done(server, do="begin")
    found = done(server, do="seek", aim=AIM)
    back = done(server, do="back", number=1)
    walked = done(server, do="walk")
    begun = done(server, do="begin", number=0)

    assert (start["depth"], taken["depth"], undone["depth"], again["depth"], back["depth"], begun["depth"]) == (0, 1, 0, 1, 1, 0)
    assert undone["choices"] == start["choices"]
    assert "no way is shorter" in found["said"]
    assert [p["name"] for p in found["properties"] if not p["holds"]] == ["reject_noncoherent_dma"]
    assert walked["said"].endswith("at random.")
    assert server.session.starts[0] == server.session.state


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ({"do": "take", "number": 99}, "there is no choice 99"),
        ({"do": "take", "number": -1}, "there is no choice -1"),
        ({"do": "take", "at": 7}, "the page shows step 7, and the run is at step 0 now; nothing was done"),
        ({"do": "fly"}, "there is no command 'fly'"),
        ({"do": "seek", "aim": "x"}, "there is no aim 'x'"),
        ({"do": "begin", "number": 77}, "there is no start 77"),
        ({"do": "back", "number": 5}, "there is no step 5"),
        ({"do": "load", "document": "{}"}, "the file: JSON, but not a counterexample"),
        ({"do": "undo"}, "There is nothing to undo."),
        ({"do": "redo"}, "There is nothing to do again."),
    ],
)
def test_a_command_that_cannot_be_done_is_said_to_be_so_and_does_nothing(server: Server, command: dict[str, Any], said: str) -> None:
    server.session._undone = []
    answer = done(server, **command)

    assert said in answer["said"]
    assert (answer["depth"], server.session.depth) == (0, 0)


def test_a_run_is_saved_by_the_browser_and_loaded_again(server: Server) -> None:
    done(server, do="seek", aim=AIM)
    status, headers, content = asked(server, "GET", f"/{server.token}/trace")
    done(server, do="begin")
    loaded = done(server, do="load", document=content.decode())

    assert status == 200
    assert headers["content-disposition"] == f'attachment; filename="{QUICK}.reject_noncoherent_dma.cex.json"'
    assert load(content, "x").depth == loaded["depth"] == 3
    assert loaded["said"] == "A stored run of 3 steps."


def test_two_at_once_do_not_mix(server: Server) -> None:
    """A double click asks twice from the same state: one of them is taken."""
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(done(server, do="take", at=0, number=0))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.session.depth == 1
    assert sorted("nothing was done" in a["said"] for a in answers) == [False] + [True] * 5


WRITES: list[object] = []
WATCHING: list[bool] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not WATCHING:
        return
    if event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1]):
        WRITES.append(arguments)
    if event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "subprocess.Popen", "os.system", "shutil.rmtree"):
        WRITES.append((event, arguments))


@pytest.mark.slow
def test_nothing_is_ever_written(server: Server) -> None:
    """Every command and every page, while the interpreter tells of each file that is opened for writing."""
    sys.addaudithook(_watch)
    WATCHING.append(True)
    try:
        document = asked(server, "GET", f"/{server.token}/trace")[2].decode()
        for path in ("", "state", "picture.svg", "trace"):
            assert asked(server, "GET", f"/{server.token}/{path}")[0] == 200
        for do in ("take", "undo", "redo", "back", "walk", "begin"):
            done(server, do=do)
        done(server, do="seek", aim=AIM)
        done(server, do="load", document=document)
    finally:
        WATCHING.clear()

    assert WRITES == []


def test_a_port_that_is_taken_is_said_to_be_so(server: Server) -> None:
    with pytest.raises(InputError, match=f"port {server.port} of 127.0.0.1 cannot be used"):
        listening(server.session, server.port, 0)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end(ending: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tdpcheck.cli.main", "explore", QUICK, "--web"]
    # A shell that puts the tests into the background has Ctrl-C ignored; the command shall hear it all the same here.
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+/)", line)
        assert url, line
        connection = http.client.HTTPConnection("127.0.0.1", int(url[1]), timeout=60)
        connection.request("GET", url[2] + "state")
        assert json.loads(connection.getresponse().read())["scenario"] == QUICK
        process.send_signal(ending)
        rest = process.stderr.read()

        assert process.wait(20) == 0
        assert "Traceback" not in rest
        assert rest.endswith("The explorer has ended.\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url[1])), timeout=5)
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.stderr.close()
