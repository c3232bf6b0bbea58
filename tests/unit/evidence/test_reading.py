"""Reading hostile and harmless documents: whatever they do, the reader goes on (P19, R49a)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.evidence.reading import Limits, Page, Reader, ReadingResult, read_document
from tests.unit.evidence import documents

PDF = "application/pdf"


def run(steps: Callable[[Reader], Awaitable[None]], limits: Limits | None = None) -> None:
    async def whole() -> None:
        async with Reader(limits or Limits()) as reader:
            await steps(reader)

    asyncio.run(whole())


def read(document: bytes | Path, media_type: str, limits: Limits | None = None) -> ReadingResult:
    return asyncio.run(read_document(document, media_type, limits or Limits()))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own, so that it can see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def photograph() -> ReadingResult:
    return read(documents.PHOTOGRAPH, "image/jpeg")


def test_a_photographed_page_is_read_upright_and_in_order(photograph: ReadingResult) -> None:
    assert (photograph.state, photograph.reason, photograph.page_count) == ("READ", None, 1)
    page = photograph.pages[0]
    assert page.source == "OCR"
    assert page.text.splitlines() == [
        "客户异议登记表",
        "客户名称:青山机械有限公司 编号:0098",
        "异议内容:设备运行三个月后轴承出现异常噪",
        "音,要求更换并赔偿停机损失。",
        "Contract No. AJ-2026-0417",
        "处理措施:派工程师到现场检测",
        "登记日期:2026年3月12日",
    ]
    assert page.confidence > 0.9


def test_every_recognised_line_says_where_it_stands(photograph: ReadingResult) -> None:
    boxes = photograph.pages[0].boxes
    assert len(boxes) == 8
    assert all(0 <= box.x <= box.x + box.w <= 1.0001 and 0 <= box.y <= box.y + box.h <= 1.0001 for box in boxes)
    title, *_, last = boxes
    assert title.text == "客户异议登记表"
    assert title.y < 0.2 < 0.6 < last.y


def test_a_text_layer_is_taken_as_it_is() -> None:
    result = read(documents.text_pdf(documents.PARAGRAPH, "Second page, 2026."), PDF)
    assert result.state == "READ"
    assert [(page.number, page.text, page.source) for page in result.pages] == [
        (1, documents.PARAGRAPH, "TEXT_LAYER"),
        (2, "Second page, 2026.", "TEXT_LAYER"),
    ]
    box = result.pages[0].boxes[0]
    assert (round(box.x, 2), round(box.y, 1)) == (0.12, 0.1)
    assert box.text.startswith("The customer objects")


def test_boxes_follow_the_pages_rotation() -> None:
    result = read(documents.text_pdf(documents.PARAGRAPH, rotate=90), PDF)
    box = result.pages[0].boxes[0]
    assert box.x > 0.85
    assert box.h > box.w


def test_a_scan_inside_a_pdf_is_recognised_although_the_scanner_stamped_text_on_it() -> None:
    result = read(documents.scanned_pdf("Scanned by device 0098 on 2026-03-12"), PDF)
    assert result.state == "READ"
    assert result.pages[0].source == "OCR"
    assert "青山机械有限公司" in result.pages[0].text


def test_a_tiff_of_several_pages_gives_each_of_them() -> None:
    result = read(documents.picture("TIFF", frames=3), "image/tiff")
    assert (result.state, result.page_count, [page.number for page in result.pages]) == ("READ", 3, [1, 2, 3])


@pytest.mark.parametrize(
    ("document", "flags"),
    [
        pytest.param(documents.pdf_with_javascript(), {"ACTIVE_CONTENT", "JAVASCRIPT"}, id="javascript"),
        pytest.param(documents.pdf_with_unreachable_javascript(), {"ACTIVE_CONTENT", "JAVASCRIPT"}, id="hidden"),
        pytest.param(documents.pdf_with_launch_action(), {"ACTIVE_CONTENT", "LAUNCH_ACTION"}, id="launch"),
        pytest.param(documents.pdf_with_embedded_file(), {"ACTIVE_CONTENT", "EMBEDDED_FILE"}, id="file"),
        pytest.param(documents.text_pdf(), set(), id="harmless"),
        pytest.param(documents.text_pdf() + b"PK\x05\x06" + bytes(18), {"SECOND_FORMAT"}, id="pdf and zip"),
    ],
)
def test_active_content_is_flagged_and_the_text_read_all_the_same(document: bytes, flags: set[str]) -> None:
    result = read(document, PDF)
    assert result.state == "READ"
    assert result.flags - {"REPAIRED"} == flags
    assert result.pages[0].text == documents.PARAGRAPH


@pytest.mark.parametrize(
    ("document", "media_type", "reason"),
    [
        pytest.param(documents.encrypted_pdf(), PDF, "ENCRYPTED_PDF", id="a locked PDF"),
        pytest.param(documents.many_pages_pdf(10_000), PDF, "TOO_MANY_PAGES", id="ten thousand pages"),
        pytest.param(documents.text_pdf()[:400], PDF, "DAMAGED", id="a PDF cut short"),
        pytest.param(b"%PDF-1.7\n" + os.urandom(5000), PDF, "DAMAGED", id="noise behind a PDF header"),
        pytest.param(b"", PDF, "DAMAGED", id="nothing"),
        pytest.param(documents.bomb_png(12_000), "image/png", "TOO_MANY_PIXELS", id="a picture that unfolds"),
        pytest.param(documents.picture("TIFF", frames=501), "image/tiff", "TOO_MANY_PAGES", id="501 pages"),
        pytest.param(documents.PHOTOGRAPH.read_bytes()[:9000], "image/jpeg", "DAMAGED", id="a JPEG cut short"),
        pytest.param(documents.picture("PNG"), "image/jpeg", "DAMAGED", id="a PNG said to be a JPEG"),
        pytest.param(documents.picture("PNG"), PDF, "DAMAGED", id="a PNG said to be a PDF"),
        pytest.param(b"GIF89a", "image/gif", "TYPE_NOT_READ", id="a type that is not read"),
    ],
)
def test_what_can_not_be_read_says_why_and_the_next_document_is_read(
    document: bytes, media_type: str, reason: str
) -> None:
    async def steps(reader: Reader) -> None:
        refused = await reader.read(document, media_type)
        assert (refused.state, refused.reason, refused.pages) == ("UNREADABLE", reason, [])
        following = await reader.read(documents.text_pdf(), PDF)
        assert following.state == "READ"

    run(steps)


def test_a_file_beyond_the_limit_is_never_handed_to_a_child() -> None:
    async def steps(reader: Reader) -> None:
        result = await reader.read(bytes(1001), PDF)
        assert (result.reason, reader.pid) == ("TOO_LARGE", None)

    run(steps, Limits(max_bytes=1000))


def test_a_document_that_takes_too_long_ends_its_child_and_nothing_else() -> None:
    async def steps(reader: Reader) -> None:
        stopped: list[int] = []

        async def stop(page: Page) -> None:
            if page.number == 1 and reader.pid is not None:
                stopped.append(reader.pid)
                os.kill(reader.pid, signal.SIGSTOP)

        result = await reader.read(endless, PDF, on_page=stop)
        assert (result.state, result.reason) == ("UNREADABLE", "TIMED_OUT")
        assert len(stopped) == 1
        assert not is_alive(stopped[0])
        assert (await reader.read(documents.text_pdf(), PDF)).state == "READ"

    endless = documents.text_pdf(*[documents.PARAGRAPH * 10] * 499)
    run(steps, Limits(page_seconds=6))


def test_a_document_that_burns_the_processor_is_stopped_by_the_kernel() -> None:
    result = read(documents.PHOTOGRAPH, "image/jpeg", Limits(cpu_seconds=1))
    assert (result.state, result.reason) == ("UNREADABLE", "TIMED_OUT")


def test_a_document_that_wants_too_much_memory_is_refused_and_the_next_one_read() -> None:
    async def steps(reader: Reader) -> None:
        result = await reader.read(documents.PHOTOGRAPH, "image/jpeg")
        assert result.state == "UNREADABLE"
        assert result.reason in {"OUT_OF_MEMORY", "CRASHED"}
        assert (await reader.read(documents.text_pdf(), PDF)).state == "READ"

    run(steps, Limits(memory_bytes=700 * 1024 * 1024))


def test_a_child_killed_midway_costs_its_document_only() -> None:
    async def steps(reader: Reader) -> None:
        seen: list[Page] = []

        async def kill_after_the_first(page: Page) -> None:
            seen.append(page)
            if len(seen) == 1 and reader.pid is not None:
                os.kill(reader.pid, signal.SIGKILL)

        result = await reader.read(endless, PDF, on_page=kill_after_the_first)
        assert (result.state, result.reason) == ("UNREADABLE", "CRASHED")
        assert result.pages == seen
        assert 1 <= len(seen) < 500
        assert (await reader.read(documents.text_pdf(), PDF)).state == "READ"

    endless = documents.text_pdf(*[documents.PARAGRAPH * 10] * 499)
    run(steps)


def test_trouble_of_the_listener_reaches_the_caller_and_leaves_no_child_in_between() -> None:
    async def steps(reader: Reader) -> None:
        async def fail(page: Page) -> None:
            raise ValueError(f"cannot keep page {page.number}")

        with pytest.raises(ValueError, match="cannot keep page 1"):
            await reader.read(documents.text_pdf("One page.", "Two pages."), PDF, on_page=fail)
        assert reader.pid is None
        assert (await reader.read(documents.text_pdf(), PDF)).pages[0].text == documents.PARAGRAPH

    run(steps)


def test_one_child_serves_many_documents_and_is_replaced_in_time() -> None:
    async def steps(reader: Reader) -> None:
        served = []
        for _ in range(4):
            assert (await reader.read(documents.text_pdf(), PDF)).state == "READ"
            served.append(reader.pid)
        assert served[0] == served[1] != served[2] == served[3]

    run(steps, Limits(documents_per_child=2))


def test_concurrent_documents_do_not_mix() -> None:
    async def steps(reader: Reader) -> None:
        texts = [f"Document number {number:03d}, 2026." for number in range(8)]
        results = await asyncio.gather(*(reader.read(documents.text_pdf(text), PDF) for text in texts))
        assert [result.pages[0].text for result in results] == texts

    run(steps)


def test_no_plaintext_touches_the_disk_and_nothing_is_left(temporary: Path) -> None:
    async def steps(reader: Reader) -> None:
        async def look(page: Page) -> None:
            assert page.text
            assert [path for path in temporary.rglob("*") if path.is_file()] == []

        result = await reader.read(documents.scanned_pdf(), PDF, on_page=look)
        assert result.state == "READ"

    run(steps)
    assert list(temporary.iterdir()) == []


def test_the_child_sees_no_secret_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANJUAN_KEYRING_JSON", "k3y-of-keys")

    async def steps(reader: Reader) -> None:
        await reader.read(documents.text_pdf(), PDF)
        assert reader.pid is not None
        if sys.platform == "linux":
            environment = Path(f"/proc/{reader.pid}/environ")
            assert not os.access(environment, os.R_OK) or b"k3y-of-keys" not in environment.read_bytes()
            assert reader.fences == ("limits", "seccomp", "audit")

    run(steps)


def test_this_side_imports_no_parser() -> None:
    names = "cv2 rapidocr onnxruntime pypdfium2 pikepdf PIL numpy"
    code = f"import sys, service.evidence.reading; print([n for n in {names.split()} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
