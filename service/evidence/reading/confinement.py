"""What the child gives up before it looks at a file (OWASP File Upload Cheat Sheet; seccomp(2), prlimit(2)).

Four fences, each of which holds alone:

- resource limits: address space, processor time, no core file, and **no byte into any file** (RLIMIT_FSIZE
  0), so that plaintext can't reach a disk even if a library wants a temporary file;
- on Linux a seccomp filter, which needs no privileges: no sockets, no new programs, no tracing of others.
  A network namespace would need user namespaces, which many hosts switch off, and would add nothing to it;
- a Python audit hook that refuses the same and also any opening of files for writing;
- the parent's timeout, and the end of the child when its parent ends.

On systems without one of these the others remain; `confine` returns the names of those that stand.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from typing import Final

if sys.platform != "win32":
    import resource

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_RETURN_ALLOW: Final = 0x7FFF0000
_RETURN_EPERM: Final = 0x00050001

# Audit architecture and call numbers: socket, connect, socketpair, execve, execveat, ptrace,
# process_vm_readv, process_vm_writev, io_uring_setup (which could open sockets behind the filter).
_CALLS: Final = {
    "x86_64": (0xC000003E, (41, 42, 53, 59, 322, 101, 310, 311, 425)),
    "aarch64": (0xC00000B7, (198, 203, 199, 221, 281, 117, 270, 271, 425)),
}
_X32_BIT: Final = 0x40000000

_FORBIDDEN_EVENTS: Final = frozenset({
    "socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo",
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn",
    "os.fork", "os.forkpty", "pty.spawn",
})  # fmt: skip
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(memory_bytes: int) -> list[str]:
    """Raise every fence that this system has; the names of those that stand, for the record and the tests."""
    standing = []
    if sys.platform != "win32":
        _limit_resources(memory_bytes)
        standing.append("limits")
    if sys.platform == "linux" and _filter_system_calls():
        standing.append("seccomp")
    sys.addaudithook(_refuse)
    standing.append("audit")
    return standing


def allow_processor_seconds(seconds: int) -> None:
    """Let this process use so many more seconds of processor time; beyond them SIGXCPU ends it."""
    if sys.platform != "win32":
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, hard))


def _limit_resources(memory_bytes: int) -> None:
    if sys.platform != "win32":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        except (ValueError, OSError):  # macOS knows the limit but refuses to set it
            return


def _filter_system_calls() -> bool:
    machine = _CALLS.get(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if machine is None or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    architecture, calls = machine
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET|K
    deny = len(calls) + 1  # steps from the first comparison of calls to the refusal
    program = [
        (load, 0, 0, 4),
        (equal, 0, deny + 2, architecture),
        (load, 0, 0, 0),
        (at_least, deny, 0, _X32_BIT),
        *((equal, deny - 1 - place, 0, call) for place, call in enumerate(calls)),
        (give, 0, 0, _RETURN_ALLOW),
        (give, 0, 0, _RETURN_EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN_EVENTS:
        raise PermissionError(f"{event} is not available while a document is read")
    if event == "open" and len(arguments) > 2:
        path, flags = arguments[0], arguments[2]
        if isinstance(flags, int) and flags & _WRITING and path != os.devnull and not isinstance(path, int):
            raise PermissionError("no file is written while a document is read")
