"""What an attacker sends as a scan, and what becomes of it (P19)."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.evidence.sniffing import ALLOWED_TYPES, NAME_CHARACTERS, agrees, check_name, extension, sniff

PDF_HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"


def picture(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, kind, **options)
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("run.exe", b"MZ")
    return out.getvalue()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (PDF_HEAD, "application/pdf"),
        (b"%PDF-2.0\n", "application/pdf"),
        (picture("JPEG"), "image/jpeg"),
        (picture("PNG"), "image/png"),
        (picture("TIFF"), "image/tiff"),
    ],
)
def test_a_genuine_file_is_known_by_its_leading_bytes(head: bytes, expected: str) -> None:
    assert sniff(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(archive(), id="a zip"),
        pytest.param(b"<!DOCTYPE html><script>alert(1)</script>", id="a web page"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="a vector picture with scripts"),
        pytest.param(b"\n" + PDF_HEAD, id="a PDF header one byte late"),
        pytest.param(archive() + PDF_HEAD, id="a zip that is also a PDF"),
        pytest.param(PDF_HEAD + archive(), id="a PDF that is also a zip"),
        pytest.param(b"%PDF-1.7\n%<script>alert(1)</script>", id="a PDF that is also a web page"),
        pytest.param(PDF_HEAD + PDF_HEAD, id="two PDF headers"),
        pytest.param(picture("JPEG", comment=b"%PDF-1.4"), id="a JPEG that is also a PDF"),
        pytest.param(picture("JPEG", comment=b"<?php system('id'); ?>"), id="a JPEG that is also a program"),
        pytest.param(picture("PNG")[:20], id="a PNG cut off in its header"),
        pytest.param(picture("PNG").replace(b"IHDR\x00", b"IHDR\x01", 1), id="a PNG header with a wrong checksum"),
        pytest.param(b"\xff\xd8\xff\x00rest", id="a JPEG start without a marker"),
        pytest.param(b"II*\x00\x00\x00\x00\x00", id="a TIFF whose directory is its header"),
        pytest.param(b"GIF89a" + bytes(40), id="a type that is not accepted"),
        pytest.param(b"MZ" + bytes(100), id="a program"),
        pytest.param(b"%PDF-x.y", id="a PDF header without version"),
    ],
)
def test_anything_else_is_of_no_type(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=5000))
def test_no_bytes_make_sniffing_fail(head: bytes) -> None:
    assert sniff(head) in {None, *ALLOWED_TYPES}


@pytest.mark.parametrize(
    ("declared", "suffix", "sniffed"),
    [
        ("application/pdf", "pdf", "application/pdf"),
        ("Application/PDF; charset=binary", ".PDF", "application/pdf"),
        ("image/jpg", "jpeg", "image/jpeg"),
        ("image/tiff", "tif", "image/tiff"),
        ("image/png", "png", "image/png"),
    ],
)
def test_one_type_three_times_agrees(declared: str, suffix: str, sniffed: str) -> None:
    assert agrees(declared, suffix, sniffed)


@pytest.mark.parametrize(
    ("declared", "suffix", "sniffed"),
    [
        ("application/pdf", "pdf", None),
        ("application/pdf", "png", "application/pdf"),
        ("image/png", "pdf", "application/pdf"),
        ("image/png", "png", "image/jpeg"),
        ("application/octet-stream", "pdf", "application/pdf"),
        ("application/pdf", "", "application/pdf"),
        ("application/zip", "zip", "application/zip"),
        ("text/html", "html", "text/html"),
    ],
)
def test_one_dissenting_claim_is_enough_to_refuse(declared: str, suffix: str, sniffed: str | None) -> None:
    assert not agrees(declared, suffix, sniffed)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("合同 扫描件.pdf", "合同 扫描件.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\chen\\投诉.pdf", "投诉.pdf"),
        ("in\u202efdp.exe", "infdp.exe"),
        ("a\u2066b\u200b\ufeff.pdf", "ab.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie: x.pdf"),
        ("nul\x00.pdf.exe", "nul.pdf.exe"),
        ("cafe\u0301.pdf", "caf\u00e9.pdf"),
        ("scan.pdf. . ", "scan.pdf"),
        ("x" * NAME_CHARACTERS, "x" * NAME_CHARACTERS),
    ],
)
def test_a_name_keeps_only_what_people_can_see(given_name: str, kept: str) -> None:
    assert check_name(given_name) == kept


@pytest.mark.parametrize("bad", ["", "   ", ".", "..", "a/", "\u202e\u200b", "\x00", "x" * (NAME_CHARACTERS + 1)])
def test_a_name_without_content_or_too_long_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        check_name(bad)


@given(st.text(alphabet=st.characters(), max_size=400))
def test_no_name_that_is_kept_can_reach_into_a_path_or_turn_the_text_around(file_name: str) -> None:
    try:
        kept = check_name(file_name)
    except ValueError:
        return
    assert not set("/\\\x00\r\n\u202e\u2066") & set(kept)
    assert kept not in {".", ".."}
    assert 0 < len(kept) <= NAME_CHARACTERS
    assert check_name(kept) == kept


def test_the_extension_is_what_stands_behind_the_last_dot() -> None:
    assert [extension(name) for name in ("a.tar.PDF", "README", ".pdf", "x.")] == ["pdf", "", "", ""]
