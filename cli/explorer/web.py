"""The explorer as a local web page.

The server listens on 127.0.0.1 alone, reads and writes no file but the page that comes with it, and answers only who knows the token
in the address. A page of another site cannot make a browser talk to it: whoever names another host than this one (DNS rebinding) or
comes from another origin is refused, and commands must be JSON, which a form cannot send.
"""

from __future__ import annotations

import secrets
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from ...core.errors import InputError, TdpcheckError
from ...model.view.naming import number_of
from ..echo import echo
from .session import WALK, Session
from .view import picture, view

ADDRESS = "127.0.0.1"
PAGE = "page.html"
LARGEST = 4_000_000
"""A command with more bytes than this is none."""
IDLE = 30
"""Seconds that a connection may say nothing."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page asks for; `at` is the depth that it shows, so that a command meant for another state does nothing."""

    do: str
    at: int = -1
    number: int = 0
    aim: str = ""
    document: str = ""


class Refused(Exception):
    """A request that gets no answer but a status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """One session behind one address.

    Args:
        port: 0 for any that is free.
        seed: of the first random walk; the next ones count on from it.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, session: Session, port: int = 0, seed: int = 0) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.lock = threading.Lock()
        self.seed = seed

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is nobody's fault; anything else is told in one line."""
        fault = sys.exception()
        if not isinstance(fault, OSError):
            echo(f"tdpcheck: a request failed: {type(fault).__name__}: {fault}", err=True)

    def command(self, command: Command) -> str:
        """Do what a page asks for, and say what became of it.

        Raises:
            InputError: it cannot be done.
        """
        session = self.session
        if command.do not in _COMMANDS:
            raise InputError(f"there is no command {command.do!r}")
        if command.at not in (-1, session.depth):
            raise InputError(f"the page shows step {command.at}, and the run is at step {session.depth} now; nothing was done")
        return _COMMANDS[command.do](self, command)


def _take(server: Server, command: Command) -> str:
    server.session.take(command.number)
    return ""


def _undo(server: Server, command: Command) -> str:
    return "" if server.session.undo() else "There is nothing to undo."


def _redo(server: Server, command: Command) -> str:
    return "" if server.session.redo() else "There is nothing to do again."


def _back(server: Server, command: Command) -> str:
    server.session.back_to(command.number)
    return ""


def _begin(server: Server, command: Command) -> str:
    server.session.begin(command.number)
    return "A new run begins."


def _walk(server: Server, command: Command) -> str:
    taken = server.session.walk(WALK, server.seed)
    server.seed += 1
    return f"{taken} {'step' if taken == 1 else 'steps'} at random." if taken else "Nothing can happen."


def _seek(server: Server, command: Command) -> str:
    return server.session.seek(command.aim)


def _load(server: Server, command: Command) -> str:
    server.session.load(command.document.encode(), "the file")
    return f"A stored run of {server.session.depth} steps."


_COMMANDS: dict[str, Callable[[Server, Command], str]] = {
    "take": _take, "undo": _undo, "redo": _redo, "back": _back, "begin": _begin, "walk": _walk, "seek": _seek, "load": _load,
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "tdpcheck"
    sys_version = ""
    timeout = IDLE

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_HEAD(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the token stands in each address."""

    # Who is asking

    def _answered(self, answer: Callable[[str], None]) -> None:
        try:
            answer(self._trusted())
        except Refused as refused:
            self._send(refused.status, "text/plain; charset=utf-8", f"{refused}\n".encode())

    def _trusted(self) -> str:
        """What is asked for, once it is clear by whom."""
        own = {f"{ADDRESS}:{self.server.port}", f"localhost:{self.server.port}"}
        if self.headers.get("Host") not in own:
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to its own address only")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{name}" for name in own}:
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to its own page only")
        path = self.path.partition("?")[0]
        token, slash, rest = path.removeprefix("/").partition("/")
        # Compared as bytes: a str with other than ASCII is refused by compare_digest.
        if not slash or not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "the address that tdpcheck printed has the key; use it whole")
        return rest

    # What is asked

    def _get(self, name: str) -> None:
        match name:
            case "":
                key = secrets.token_urlsafe(12)
                text = Path(__file__).with_name(PAGE).read_text(encoding="utf-8").replace("NONCE", key)
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(), key)
            case "state":
                with self.server.lock:
                    self._state("")
            case "picture.svg":
                with self.server.lock:
                    drawn = picture(self.server.session)
                self._send(HTTPStatus.OK, "image/svg+xml", drawn)
            case "trace":
                with self.server.lock:
                    file, content = self.server.session.saved()
                self._send(HTTPStatus.OK, "application/json", content, file=file)
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self, name: str) -> None:
        if name != "do":
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a command is JSON")
        length = number_of(self.headers.get("Content-Length", ""))
        if length is None or length > LARGEST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a command has at most {LARGEST} bytes, and says how many")
        try:
            command = msgspec.json.decode(self.rfile.read(length), type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST, "this is no command") from None
        with self.server.lock:
            try:
                said = self.server.command(command)
            except TdpcheckError as error:
                said = f"{error}."
            self._state(said)

    def _state(self, said: str) -> None:
        self._send(HTTPStatus.OK, "application/json", msgspec.json.encode(view(self.server.session, said)))

    def _send(self, status: HTTPStatus, kind: str, content: bytes, key: str = "", file: str = "") -> None:
        script = f"; script-src 'nonce-{key}'; style-src 'nonce-{key}'; img-src 'self' data:; connect-src 'self'" if key else ""
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'{script}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        if file:
            self.send_header("Content-Disposition", f'attachment; filename="{file}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def serve(server: Server) -> None:
    """Answer until Ctrl-C or a termination signal; then close the port."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        server.server_close()


def listening(session: Session, port: int, seed: int) -> Server:
    """A server at that port.

    Raises:
        InputError: the port is taken or forbidden.
    """
    try:
        return Server(session, port, seed)
    except OSError as error:
        raise InputError(f"port {port} of {ADDRESS} cannot be used ({error.strerror or error}); name another, or 0 for any") from None
