"""From an empty checkout to a working `.venv`: `python3 infra/bootstrap.py [--dev]`.

Standard library only, for a bare Python 3.11 or newer. What it installs is pinned by hash in
`requirements.lock` (with `--dev`: `requirements-dev.lock`), its installer uv in `infra/uv.lock`. A second run
finds its stamp and does nothing. `--lock` compiles the lock files anew after `pyproject.toml` has changed.

Package index, certificates and proxies are taken from pip's own configuration and environment, for uv too;
nothing of that is ever written to a file.
"""

from __future__ import annotations

import argparse
import ast
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "anjuan-installed.json"
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
UV_LOCK = "infra/uv.lock"
HEADER = "# dependencies of pyproject.toml: sha256:"
COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--generate-hashes",
    "--no-emit-index-url", "--no-emit-find-links",
    "--python-version", ".".join(map(str, OLDEST_PYTHON)), "--custom-compile-command", "make lock",
)  # fmt: skip
LAUNCHER = """#!/bin/sh
# Runs `anjuan` with the Python beside it.
exec "$(dirname "$0")/python" -P -c 'import sys
from service.cli import main
sys.argv[0] = "anjuan"
sys.exit(main())' "$@"
"""


class Remedy(Exception):
    """Something is missing here; the text says what and what helps."""


def main() -> int:
    """Parse the arguments, do the work, put any trouble into one sentence. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Make .venv and install what the lock file pins.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--lock", action="store_true", help="compile the lock files from pyproject.toml")
    parser.add_argument("--upgrade", action="store_true", help="with --lock: take newer versions where allowed")
    chosen = parser.parse_args()
    try:
        require_system()
        if chosen.lock:
            write_locks(upgrade=chosen.upgrade)
        else:
            install(DEV_LOCK if chosen.dev else RUNTIME_LOCK)
    except Remedy as remedy:
        print(remedy, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run it again to go on.", file=sys.stderr)
        return 130
    return 0


def require_system() -> None:
    """Raises Remedy for what only the machine's owner can install."""
    version = sys.version_info[:2]
    if version < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        raise Remedy(
            f"This is Python {version[0]}.{version[1]}; Anjuan needs {needed} or newer. "
            "Install one and name it: `make up PYTHON=/path/to/python3.12`."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Remedy("Python's venv module is missing. Remedy: `apt-get install python3-venv` (Debian, Ubuntu).")
    own_mongod = shutil.which("mongod") or os.environ.get("ANJUAN_MONGO_URL")
    if sys.platform == "linux" and not own_mongod:
        try:
            ctypes.CDLL("libcurl.so.4")
        except OSError:
            raise Remedy(
                "The system library libcurl.so.4 is missing, which the embedded mongod needs. "
                "Remedy: `apt-get install libcurl4` (Debian, Ubuntu)."
            ) from None


def install(lock: str) -> None:
    """Bring .venv to what `lock` says; nothing to do when the stamp says so already. Raises Remedy."""
    require_fresh(lock)
    wanted = {"root": str(ROOT), "python": sys.version.split()[0]}
    stamp = read_stamp()
    if any(stamp.get(key) != value for key, value in wanted.items()):
        if stamp or not works():  # a .venv that was moved, or of another Python, is made anew
            make_venv()
        stamp = dict(wanted)
    if stamp.get(UV_LOCK) != digest(UV_LOCK):
        say("Installing the installer, uv")
        run([PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", ROOT / UV_LOCK])
        stamp[UV_LOCK] = digest(UV_LOCK)
        write_stamp(stamp)
    if stamp.get(lock) != digest(lock):
        count = len(re.findall(r"^[\w.-]+(?:\[[^]]*\])?==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        say(f"Installing {count} packages pinned in {lock} (some 300 MB the first time)")
        uv("pip", "install", "--require-hashes", "--no-build", "--python", str(PYTHON), "-r", lock)
        link_project()
        stamp[lock] = digest(lock)
        if lock == DEV_LOCK:  # it holds everything that the other one does, in the same versions
            stamp[RUNTIME_LOCK] = digest(RUNTIME_LOCK)
        write_stamp(stamp)


def write_locks(*, upgrade: bool) -> None:
    """Compile both lock files; versions stay unless `pyproject.toml` rules them out or `upgrade` is set."""
    if not works():
        make_venv()
    if upgrade or not (ROOT / UV_LOCK).exists():
        run([PYTHON, "-m", "pip", "install", "--quiet", "--upgrade", "uv"])
        version = subprocess.check_output([PYTHON, "-m", "uv", "--version"], text=True).split()[1]
        uv(*COMPILE, "--no-annotate", "-o", UV_LOCK, "-", typed=f"uv=={version}\n")
    else:
        run([PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", ROOT / UV_LOCK])
    more = ["--upgrade"] if upgrade else []
    uv(*COMPILE, *more, "pyproject.toml", "-o", RUNTIME_LOCK)
    uv(*COMPILE, *more, "pyproject.toml", "--extra", "dev", "-c", RUNTIME_LOCK, "-o", DEV_LOCK)
    for lock in (RUNTIME_LOCK, DEV_LOCK):
        path = ROOT / lock
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(HEADER)]
        path.write_text("\n".join([HEADER + dependencies_digest(), *lines]) + "\n", encoding="utf-8")
        say(f"Wrote {lock}")


def require_fresh(lock: str) -> None:
    """Raises Remedy when `pyproject.toml` names other dependencies than `lock` was compiled from."""
    try:
        first = (ROOT / lock).read_text(encoding="utf-8").split("\n", 1)[0]
    except FileNotFoundError:
        raise Remedy(f"{lock} is missing. Remedy: `make lock`.") from None
    if first != HEADER + dependencies_digest():
        raise Remedy(
            f"{lock} is stale: pyproject.toml names other dependencies than it was compiled from. "
            "Remedy: `make lock`, then commit both lock files."
        )


def dependencies_digest() -> str:
    """SHA-256 (hex) over what `pyproject.toml` says about dependencies, whatever its layout."""
    import tomllib  # here, so that an older Python gets as far as its sentence  # noqa: PLC0415

    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    relevant = [
        project["requires-python"],
        sorted(project["dependencies"]),
        {name: sorted(listed) for name, listed in project.get("optional-dependencies", {}).items()},
    ]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def make_venv() -> None:
    """Make .venv with this Python, from nothing. Raises Remedy."""
    say("Making .venv")
    run([sys.executable, "-m", "venv", "--clear", VENV])


def works() -> bool:
    """Is there a .venv with a Python of this very version in it?"""
    if not PYTHON.exists():
        return False
    asked: list[str | Path] = [PYTHON, "-c", "import pip, sys; print(sys.version.split()[0])"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return str(done.stdout).strip() == sys.version.split()[0]


def link_project() -> None:
    """Make the checkout importable and put `anjuan` beside the Python, without building anything."""
    packages = subprocess.check_output(
        [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    (Path(packages) / "anjuan.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    launcher = PYTHON.with_name("anjuan")
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


def uv(*arguments: str, typed: str | None = None) -> None:
    """Run uv with pip's index and certificates. Raises Remedy."""
    run([PYTHON, "-m", "uv", *arguments], environment=uv_environment(pip_configuration()), typed=typed)


def pip_configuration() -> dict[str, str]:
    """What pip would use, from its files and its environment, by option name: `index-url`, `cert`, …"""
    done = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found: dict[str, tuple[int, str]] = {}
    ranks = {"global": 0, "install": 1, ":env:": 2}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in ranks and ranks[section] >= found.get(option, (0, ""))[0]:
            try:
                found[option] = (ranks[section], str(ast.literal_eval(value)))
            except (ValueError, SyntaxError):
                continue
    return {option: value for option, (_, value) in found.items()}


def uv_environment(pip: dict[str, str]) -> dict[str, str]:
    """The environment in which uv asks the same index and trusts the same certificates as pip.

    What is set for uv itself (`UV_…`, `SSL_CERT_FILE`) goes first.
    """
    links = [link for link in shlex.split(pip.get("find-links", "")) if "://" in link or Path(link).is_dir()]
    translated = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(links),
        "UV_NO_INDEX": "1" if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("default-timeout", pip.get("timeout", "")),
        "SSL_CERT_FILE": pip.get("cert", ""),
        # Caches on another disk can't be linked from; say nothing about it and copy.
        "UV_LINK_MODE": "" if same_disk() else "copy",
    }
    if pip.get("proxy"):
        translated |= {"HTTPS_PROXY": pip["proxy"], "HTTP_PROXY": pip["proxy"]}
    return {**{name: value for name, value in translated.items() if value}, **os.environ}


def same_disk() -> bool:
    """Are uv's cache and .venv on one file system, as far as can be told?"""
    cache = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home())
    while not cache.exists():
        cache = cache.parent
    return cache.stat().st_dev == VENV.stat().st_dev


def run(command: list[str | Path], *, environment: dict[str, str] | None = None, typed: str | None = None) -> None:
    """Run a command in the checkout, its output shown. Raises Remedy when it fails."""
    done = subprocess.run(command, cwd=ROOT, env=environment, input=typed, text=True, check=False)
    if done.returncode != 0:
        what = " ".join(str(part) for part in command[1:5])
        raise Remedy(
            f"`{what} …` ended with code {done.returncode}; its reason is above. If the package index "
            "can't be reached, tell pip how (PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY). "
            "A broken .venv may simply be removed."
        )


def digest(name: str) -> str:
    """SHA-256 (hex) of a file of the checkout. Raises Remedy when it is missing."""
    try:
        return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise Remedy(f"{name} is missing. Remedy: `make lock`.") from None


def read_stamp() -> dict[str, str]:
    """What the last run installed; empty when nothing is known."""
    try:
        read = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) and PYTHON.exists() else {}


def write_stamp(stamp: dict[str, str]) -> None:
    """Remember what is installed, in one step."""
    partial = STAMP.with_suffix(".part")
    partial.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    partial.replace(STAMP)


def say(sentence: str) -> None:
    """Tell people what goes on."""
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
