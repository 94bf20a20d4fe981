"""`tdpcheck spte` and `tdpcheck bits`, as they are typed."""

from __future__ import annotations

import json

import pytest

from tdpcheck.tests.calling import Call


def test_an_entry_is_told_by_each_reader(call: Call) -> None:
    done = call("spte", "0x807", "--level", "2")
    assert done.exit_code == 0
    assert "EPT, at level 2: a table at 0x0, RW below it" in done.stdout
    assert "refused by bits 11: bit 11 is reserved in an entry that points to a table" in done.stdout
    assert "KVM, at level 2: MMU-present (bit 11): a table at 0x0" in done.stdout


def test_where_the_bit_is_says_what_kvm_reads(call: Call) -> None:
    asked = ["spte", "0x800000000000007", "--as", "kvm", "--level", "1", "--json", "--present"]
    told = [json.loads(call(*asked, bit).stdout) for bit in ("11", "59")]
    assert [each["readings"][0]["takes"] for each in told] == ["absent", "leaf"]


@pytest.mark.parametrize(
    ("value", "takes"), [("0x5a0", "frozen"), ("0x106", "mmio"), ("0", "absent"), ("0x0050000000000800", "tracked"), ("0x807", "leaf")]
)
def test_what_kvm_takes_a_value_for(call: Call, value: str, takes: str) -> None:
    (reading,) = json.loads(call("spte", value, "--as", "kvm", "--level", "1", "--json").stdout)["readings"]
    assert reading["takes"] == takes


@pytest.mark.parametrize("arguments", [["0x1ffffffffffffffff"], ["-1"], ["six"], ["0x7", "--level", "6"], ["0x7", "--machine", "toaster"]])
def test_what_is_no_entry_is_one_error(call: Call, arguments: list[str]) -> None:
    done = call("spte", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_questions_are_asked_by_how_they_begin(call: Call) -> None:
    done = call("bits", "flush_covers/rfc-everything", "--json")
    found = json.loads(done.stdout)["found"]
    assert done.exit_code == 0
    assert {(each["clause"], each["answer"]) for each in found} == {
        ("iotlb", "proved"), ("device-tlb", "refuted"), ("mask-fits", "proved"), ("no-bug", "proved"),
    }  # fmt: skip
    assert next(each for each in found if each["answer"] == "refuted")["values"]["iommu.caching_mode"] == "0x1"


def test_a_question_that_there_is_not_is_one_error(call: Call) -> None:
    done = call("bits", "flush_covers/rfx")
    assert done.exit_code == 2
    assert "did you mean flush_covers/rfc" in done.stderr


def test_all_are_listed(call: Call) -> None:
    listed = call("bits", "--list").stdout.split()
    assert "flush_covers/6.12" in listed
    assert "spte_format_agrees/mmio/level-1/bit-59/usual" in listed
    assert not [name for name in listed if name.endswith("/narrow-haw")]
