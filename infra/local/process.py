"""One process, a server or a part of Anjuan: started in a session of its own, known by a pid file, stopped by its own pid.

A session of its own keeps the terminal's Ctrl-C away from it: the parent gets the signal and stops its
servers in order. Should the parent die without doing so, Linux sends the server SIGTERM (PR_SET_PDEATHSIG,
prctl(2)); everywhere, the next start ends what the pid file names once it is sure whose process that is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.local.errors import ServerFailed

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 16 * 1024 * 1024


class ServerProcess:
    """A running server. `part` is its name for people; its output goes to `<data>/logs/<name>.log`."""

    def __init__(self, part: str, name: str, data: Path) -> None:
        self.part = part
        self.log = data / "logs" / f"{name}.log"
        self._pid_file = data / "run" / f"{name}.pid"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it was started and not yet stopped."""
        return self._popen.pid if self._popen else None

    def start(self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it; standard output and error are appended to the log. Raises OSError if it can't be run."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with open(self.log, "ab", opener=_private) as output:
            os.fchmod(output.fileno(), 0o600)  # one that was there may have been made with another mode
            self._popen = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                preexec_fn=_die_with_parent(),
            )
        self._pid_file.write_text(f"{self._popen.pid}\n{command[0]}\n", encoding="utf-8")

    def exit_code(self) -> int | None:
        """None while it runs or was never started; else its exit code (negative: a signal)."""
        return self._popen.poll() if self._popen else None

    def require_running(self) -> None:
        """Raises ServerFailed, with the log's last telling lines, when the process has ended."""
        code = self.exit_code()
        if code is not None:
            raise ServerFailed(self.part, f"ended with code {code}{self._last_words()}", self.log)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Ask `ready` until it says yes. Raises ServerFailed when the process ends or the time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_running()
            if time.monotonic() > deadline:
                raise ServerFailed(self.part, f"did not answer within {seconds:.0f} s{self._last_words()}", self.log)
            time.sleep(0.05)

    def ask_to_stop(self) -> None:
        """Send SIGTERM and don't wait."""
        if self._popen is not None:
            self._popen.terminate()

    def stop(self, seconds: float) -> None:
        """SIGTERM, wait up to `seconds`, then SIGKILL; by the pid that was started here and no other."""
        if self._popen is None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen = None
        self._pid_file.unlink(missing_ok=True)

    def last_lines(self, count: int) -> list[str]:
        """The end of its log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:]
        except FileNotFoundError:
            return []

    def end_leftover(self, seconds: float = 10) -> bool:
        """End the process that a killed parent left behind, if the pid file still names exactly that one."""
        try:
            number, program = self._pid_file.read_text(encoding="utf-8").split("\n")[:2]
            pid = int(number)
        except (FileNotFoundError, ValueError):
            return False
        ended = False
        deadline = time.monotonic() + seconds
        while _runs(pid, program, self._pid_file.parent.parent):
            ended = True
            os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.2)
        self._pid_file.unlink(missing_ok=True)
        return ended

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-400:]
        except FileNotFoundError:
            return ""
        telling = [line for line in lines if '"s":"F"' in line or '"s":"E"' in line or line[:1] in "EF"]
        return f": {telling[-1][:300]}" if telling else ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _die_with_parent() -> Callable[[], None] | None:
    # The signal comes when the *thread* that forked ends, so only the main thread may ask for it.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask


def _runs(pid: int, program: str, data: Path) -> bool:
    """Is `pid` that program, working on that data directory? A pid may have been given to another since."""
    try:
        if sys.platform == "linux":
            if (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z":
                return False
            command = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
        else:
            shown = subprocess.run(
                ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
            )
            command = shown.stdout
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return program in command and str(data) in command
