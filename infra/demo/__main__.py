"""`python -m infra.demo scan-01 > scan.jpg`: one of the demo's scans as a file, to try an upload with."""

from __future__ import annotations

import argparse
import sys

from infra.demo import make_content


def main() -> int:
    """Without a name, lists the scans. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description="Writes a demo scan to standard output.")
    parser.add_argument("scan", nargs="?", help="such as scan-01; left out: list them")
    chosen = parser.parse_args()
    scans = {scan.key: scan for scan in make_content().scans}
    if chosen.scan is None:
        for scan in scans.values():
            print(f"{scan.key}  {scan.media_type:<16} {scan.file_name}  ({scan.word})")
        return 0
    if chosen.scan not in scans:
        print(f"There is no {chosen.scan}; there are scan-01 to {max(scans)}.", file=sys.stderr)
        return 1
    if sys.stdout.isatty():
        print(f"Send it to a file: python -m infra.demo {chosen.scan} > scan.jpg", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(scans[chosen.scan].draw())
    return 0


if __name__ == "__main__":
    sys.exit(main())
