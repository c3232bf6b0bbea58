"""What a client may ask of a file's bytes, and under which name it gets them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.http.files import RangeNotSatisfiable, content_disposition, parse_range


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-99", (0, 99)),
        ("bytes=10-", (10, 99)),
        ("bytes=90-1000", (90, 99)),
        ("bytes=-1", (99, 99)),
        ("bytes=-1000", (0, 99)),
        ("Bytes= 5-6 ", (5, 6)),
    ],
)
def test_a_single_range_is_cut_to_the_file(header: str, wanted: tuple[int, int]) -> None:
    assert parse_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_outside_the_file_is_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 100)


@pytest.mark.parametrize(
    "header",
    [None, "", "lines=0-5", "bytes=5-2", "bytes=0-1,5-6", "bytes=a-b", "bytes=-", "bytes=--5", "bytes=１-２"],
)
def test_what_is_no_single_range_of_bytes_is_ignored_and_the_whole_file_sent(header: str | None) -> None:
    assert parse_range(header, 100) is None


@given(st.text(max_size=40), st.integers(1, 10**12))
def test_no_header_leads_outside_the_file(header: str, size: int) -> None:
    try:
        found = parse_range("bytes=" + header, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found[0] <= found[1] < size


@given(st.text(min_size=1, max_size=60).filter(lambda name: all(not 0xD800 <= ord(c) <= 0xDFFF for c in name)))
def test_no_file_name_breaks_out_of_its_header(name: str) -> None:
    header = content_disposition(name)
    header.encode("ascii")
    assert header.startswith('attachment; filename="')
    assert header.count('"') == 2
    assert "\r" not in header
    assert "\n" not in header
