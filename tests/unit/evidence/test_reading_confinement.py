"""An attacker who runs code in the child finds no way out (P19)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.evidence.reading import Limits
from service.evidence.reading.model import page_from_line, result_from_line

PRELUDE = """
import ctypes, os, socket, subprocess, sys
from service.evidence.reading.confinement import confine
libc = ctypes.CDLL(None, use_errno=True)
confine(4 * 1024**3)
"""


def attempt(code: str, folder: Path) -> str:
    """What the attempt prints; an exception's name when it was refused."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    script = f"{PRELUDE}\ntry:\n{body}\nexcept OSError as error:\n    print(type(error).__name__)\n"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True, text=True, timeout=30, check=False, cwd=root,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', 80))",
        "socket.getaddrinfo('example.org', 80)",
        "subprocess.run(['id'])",
        "os.system('id')",
        "os.execv('/bin/true', ['true'])",
        "open(sys.argv[1] + '/plain', 'w')",
        "os.open(sys.argv[1] + '/plain', os.O_CREAT | os.O_WRONLY)",
    ],
)
def test_python_code_is_refused(code: str, tmp_path: Path) -> None:
    assert attempt(code, tmp_path) == "PermissionError"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are filtered on Linux")
@pytest.mark.parametrize(
    "call",
    [
        "libc.socket(2, 1, 0)",
        "libc.socket(1, 1, 0)",
        "libc.execv(b'/bin/true', None)",
        "libc.ptrace(16, 1, 0, 0)",
    ],
)
def test_native_code_is_refused_by_the_kernel(call: str, tmp_path: Path) -> None:
    assert attempt(f"print({call}, ctypes.get_errno())", tmp_path) == "-1 1"


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_native_code_can_make_a_file_but_write_no_byte_into_it(tmp_path: Path) -> None:
    code = (
        "made = libc.open(sys.argv[1].encode() + b'/plain', os.O_CREAT | os.O_WRONLY, 0o600)\n"
        "print(libc.write(made, b'secret', 6))"
    )
    assert attempt(code, tmp_path) == "-1"
    assert (tmp_path / "plain").read_bytes() == b""


SOUND = {"page": 1, "text": "ok", "boxes": [[0, 0, 1, 1, "ok", 1]], "source": "OCR", "confidence": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        {"page": 2},
        {"text": None},
        {"text": "x" * 100_001},
        {"text": "\ud800"},
        {"boxes": [[0, 0, 1, 1, "ok"]]},
        {"boxes": [[0, 0, 1, 7, "ok", 1]]},
        {"boxes": [[0, 0, 1, float("nan"), "ok", 1]]},
        {"boxes": [[0, 0, 1, True, "ok", 1]]},
        {"boxes": [None] * 5001},
        {"source": "ELSEWHERE"},
        {"confidence": "high"},
    ],
)
def test_a_page_that_is_not_sound_is_not_believed(change: dict[str, object]) -> None:
    assert page_from_line(SOUND, 1).text == "ok"
    with pytest.raises(ValueError, match=r".+"):
        page_from_line({**SOUND, **change}, 1)


@pytest.mark.parametrize(
    "line",
    [
        {"reason": None, "page_count": 2, "flags": []},
        {"reason": None, "page_count": 0, "flags": []},
        {"reason": "<script>", "page_count": 1, "flags": []},
        {"reason": None, "page_count": 1, "flags": ["<script>"]},
        {"reason": None, "page_count": True, "flags": []},
        {"reason": None, "page_count": 1, "flags": None},
    ],
)
def test_a_result_that_is_not_sound_is_not_believed(line: dict[str, object]) -> None:
    pages = [page_from_line(SOUND, 1)]
    assert result_from_line({"reason": None, "page_count": 1, "flags": []}, pages, Limits()).state == "READ"
    with pytest.raises(ValueError, match=r".+"):
        result_from_line(line, pages, Limits())
