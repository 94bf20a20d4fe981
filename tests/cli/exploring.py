"""Sessions and servers for the tests of the explorer's faces."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tdpcheck.cli.explore import begun
from tdpcheck.cli.explorer.session import Session
from tdpcheck.cli.explorer.web import Server, listening
from tdpcheck.tests.calling import QUICK, diff

AIM = "violate reject_noncoherent_dma"


def opened(folder: Path) -> Session:
    """A design that exports its table although non-coherent DMA is registered."""
    path = folder / "opened.patch"
    path.write_text(diff("tdp_fd.c", "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n", "\tif (false) {\n"))
    return begun(QUICK, (), str(path), None, None)


@contextmanager
def served(session: Session) -> Iterator[Server]:
    """A server that answers in another thread."""
    server = listening(session, 0, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
