"""Records what an unmodified kernel's TDP MMU does: Debian's package in QEMU's TCG, with an emulated AMD CPU and KVM inside.

Neither /dev/kvm of this machine nor kernel source is used. Needs Linux on x86-64, `qemu-system-x86_64`, a static `busybox`, `gcc` with a
static libc, `dpkg-deb`; and the kernel's package, which `apt-get download` fetches unless it is given.
"""

from __future__ import annotations

import gzip
import lzma
import platform
import random
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..core.errors import InputError
from .format import Trace
from .ftrace import recorded

VERSIONS = ("6.1", "6.12")
"""Debian's kernels that are recorded."""
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "gcc": "gcc",
    "dpkg-deb": "dpkg",
}
"""What is needed, each with the Debian package that has it."""
SLOWED = (
    "faultin",
    "faultin_done",
    "stale",
    "stale_done",
    "map",
    "invalidated",
    "validate",
    "unmap_done",
    "flush",
    "flush_done",
    "wlock",
    "wunlock",
)
"""Probes of which a seed makes some slow, to widen the races there."""
SLOW_AT_ONCE = 2
ALWAYS_SLOW = {"6.12": ("rlock",)}
"""... and those that are always slow: 6.12 asks whether it has to retry right before it takes the lock."""
BOOT = 480.0
"""Seconds that one machine may run."""
_MODULE = "kvm-amd"


class NotRun(Exception):
    """Nothing was recorded, and why: what is missing here."""


@dataclass(frozen=True)
class Wanted:
    """What to record.

    Args:
        version: of `VERSIONS`.
        seed: of the workload, and of the probes that are slow.
        rounds: how many operations of the host.
        package: the kernel's package, if it is here already.
        cpus: of the machine; its vCPUs are three.
    """

    version: str
    seed: int = 0
    rounds: int = 120
    package: Path | None = None
    cpus: int = 3


def missing() -> tuple[str, ...]:
    """The tools that are not here, each with its package."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return (f"Linux on x86-64 (this is {platform.system()} on {platform.machine()})",)
    return tuple(f"{tool} (Debian: {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None)


def record(wanted: Wanted, said: Callable[[str], None] = lambda _: None) -> Trace:
    """Boot the kernel, run the workload, and read what the probes saw.

    Args:
        said: is told what happens.

    Raises:
        InputError: another version, or a package that is none.
        NotRun: a tool or the package is missing, or the machine did not come to the end of the workload.
    """
    if wanted.version not in VERSIONS:
        raise InputError(f"kernel version {wanted.version}: Debian's {' and '.join(VERSIONS)} are recorded; give one of them")
    lacking = missing()
    if lacking:
        raise NotRun(f"missing: {', '.join(lacking)}")
    with tempfile.TemporaryDirectory(prefix="tdpcheck-record-") as name:
        folder = Path(name)
        package = wanted.package or _downloaded(wanted.version, folder, said)
        kernel = folder / "kernel"
        _run(["dpkg-deb", "-x", str(package), str(kernel)], f"{package}: no Debian package that can be unpacked")
        images = sorted((kernel / "boot").glob("vmlinuz-*")) if (kernel / "boot").is_dir() else []
        if not images:
            raise InputError(f"{package}: there is no kernel in it; give a package linux-image-*-amd64-unsigned")
        initrd = folder / "initrd"
        initrd.write_bytes(gzip.compress(b"".join(_archive(_content(kernel, folder))), 1))
        text, console = _booted(wanted, images[0], initrd, folder, said)
    return recorded(text, console, seed=wanted.seed, rounds=wanted.rounds)


def _run(command: list[str], otherwise: str, where: Path | None = None) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise NotRun(f"{otherwise} ({command[0]}: {last[0]})")
    return done.stdout


def _downloaded(version: str, folder: Path, said: Callable[[str], None]) -> Path:
    """The newest package of that version that apt knows, downloaded and not installed."""
    if shutil.which("apt-cache") is None or shutil.which("apt-get") is None:
        raise NotRun("missing: apt, or the kernel's package given with --package FILE.deb")
    pattern = re.compile(
        rf"linux-image-{re.escape(version)}[.+][0-9a-z.+-]*-?amd64-unsigned|linux-image-{re.escape(version)}\.[0-9.+a-z-]*amd64-unsigned"
    )
    names = _run(["apt-cache", "pkgnames", f"linux-image-{version}."], "apt knows no packages").split()
    found = [n for n in names if pattern.fullmatch(n) and "cloud" not in n and "-rt-" not in n]
    if not found:
        raise NotRun(
            f"missing: a package linux-image-{version}.*-amd64-unsigned that apt knows; add Debian's sources, or give --package FILE.deb"
        )
    newest = max(found, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])
    said(f"downloading {newest}")
    _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", newest], f"{newest} cannot be downloaded", folder)
    return next(folder.glob("linux-image-*.deb"))


def _content(kernel: Path, folder: Path) -> Iterator[tuple[str, bytes, int]]:
    """The files of the machine: name, content, mode."""
    guest = files(__package__) / "guest"
    for name in ("vmm.c", "btf.h"):
        (folder / name).write_bytes((guest / name).read_bytes())
    compile_ = ["gcc", "-O1", "-static", "-pthread", "-o", str(folder / "vmm"), str(folder / "vmm.c")]
    _run(compile_, "the workload cannot be compiled; a static libc is needed (Debian: libc6-dev)")
    busybox = shutil.which("busybox")
    assert busybox is not None
    yield "bin/busybox", Path(busybox).read_bytes(), 0o755
    yield "vmm", (folder / "vmm").read_bytes(), 0o755
    yield "init", (guest / "init.sh").read_bytes(), 0o755
    yield "probes.txt", (guest / "probes.txt").read_bytes(), 0o644
    modules = dict(_modules(kernel))
    for name, content in modules.items():
        yield f"modules/{name}.ko", content, 0o644
    yield "modules/order", "".join(f"{name}.ko\n" for name in modules).encode(), 0o644


def _modules(kernel: Path) -> Iterator[tuple[str, bytes]]:
    """KVM's module with those that it needs, in the order in which they are loaded: what each needs stands in its `.modinfo`."""
    there = {path.name.partition(".")[0].replace("-", "_"): path for path in (kernel / "lib/modules").rglob("*.ko*")}
    done: dict[str, bytes] = {}

    def load(name: str) -> None:
        path = there.get(name)
        if name in done or path is None:  # what is no file is built in
            return
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for need in needs[1].decode().split(",") if needs else ():
            load(need.replace("-", "_"))
        done[name] = content

    load(_MODULE.replace("-", "_"))
    if "kvm" not in done:
        raise InputError(f"{kernel.name}: the package has no module kvm; give a package linux-image-*-amd64-unsigned")
    yield from done.items()


def _archive(content: Iterator[tuple[str, bytes, int]]) -> Iterator[bytes]:
    """A cpio archive (newc), as the kernel unpacks it."""
    made: set[str] = set()
    number = 0

    def entry(name: str, data: bytes, mode: int) -> bytes:
        nonlocal number
        number += 1
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)

    for name, data, mode in content:
        folder = name.rpartition("/")[0]
        if folder and folder not in made:
            made.add(folder)
            yield entry(folder, b"", 0o040755)
        yield entry(name, data, 0o100000 | mode)
    yield entry("TRAILER!!!", b"", 0)


def _booted(wanted: Wanted, image: Path, initrd: Path, folder: Path, said: Callable[[str], None]) -> tuple[str, str]:
    """The trace and the console of one run."""
    draw = random.Random(wanted.seed)
    slow = ",".join((*ALWAYS_SLOW.get(wanted.version, ()), *(draw.sample(SLOWED, SLOW_AT_ONCE) if wanted.seed % 4 else ())))
    console, trace = folder / "console", folder / "trace"
    given = f"tdpcheck.seed={wanted.seed} tdpcheck.rounds={wanted.rounds} tdpcheck.slow={slow}"
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", str(wanted.cpus), "-cpu", "EPYC,+svm,+npt", "-m", "1G",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{console}", "-serial", f"file:{trace}",
        "-kernel", str(image), "-initrd", str(initrd),
        "-append", f"console=ttyS0 quiet loglevel=4 mitigations=off nokaslr tsc=unstable panic=-1 {given}",
    ]  # fmt: skip
    said(f"booting {image.name} with seed {wanted.seed}")
    try:
        subprocess.run(command, timeout=BOOT, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        raise NotRun(f"the machine did not end within {BOOT:g} s; its last words: {_last(console)}") from None
    if not console.is_file() or not trace.is_file():
        raise NotRun("qemu-system-x86_64 did not start")
    text = console.read_text(errors="replace")
    if "RECORD done" not in text or "RECORD failed" in text:
        raise NotRun(f"the machine did not come to the end of the workload; its last words: {_last(console)}")
    try:
        return gzip.decompress(trace.read_bytes()).decode(errors="replace"), text
    except (OSError, EOFError, zlib.error):
        raise NotRun("the trace did not come out of the machine whole") from None


def _last(console: Path) -> str:
    lines = console.read_text(errors="replace").strip().splitlines() if console.is_file() else []
    return " / ".join(lines[-3:]) or "none"
