"""``requirements-hashed.txt``: the pins of ``constraints.txt`` with the SHA-256 of the files that pip takes for them.

``make hashes`` asks pip itself, by a dry run that installs nothing, so the hashes are those of the package index that
the user has configured; its address is not kept. They are for the platform at hand: run on another one, the command
adds that one's, and leaves what is there as long as the version stays.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, say

FILE = "requirements-hashed.txt"
LEFT_OUT = {
    "torch": "each build (CPU, CUDA, an operating system's) is another file, and which one is the user's own choice"
}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
HEAD = """# The pins of constraints.txt with the SHA-256 of each file that pip may take; `make hashes` writes it.
# `make book HASHES=1` installs with it; by hand: pip install --no-deps --require-hashes -r requirements-hashed.txt
"""


@dataclass(frozen=True)
class Hashed:
    """What the file says.

    Attributes:
        platforms: the platforms whose files are in it, such as ``"CPython 3.11 on linux x86_64"``.
        hashes: SHA-256 of the files by ``(name, version)``.
    """

    platforms: tuple[str, ...] = ()
    hashes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def normal(name: str) -> str:
    """Return a package's name in the form in which two names of one package are equal.

    Example:
        >>> assert normal("Jupyter_Book") == "jupyter-book"
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(root: Path = ROOT) -> dict[str, str]:
    """Return the versions of ``constraints.txt`` by package."""
    found = PIN.findall((root / "constraints.txt").read_text(encoding="utf-8"))
    return {normal(name): version for name, version in found}


def hashable(root: Path = ROOT) -> dict[str, str]:
    """Return the pins without those that have no hash."""
    return {name: version for name, version in pins(root).items() if name not in LEFT_OUT}


def read_hashed(path: Path) -> Hashed:
    """Return what ``requirements-hashed.txt`` says; nothing where there is no file."""
    if not path.is_file():
        return Hashed()
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    entries = {
        (normal(found[1]), found[2]): tuple(HASH.findall(line))
        for line in text.splitlines()
        if (found := PIN.match(line))
    }
    return Hashed(tuple(re.findall(r"^# platform: (.+)$", text, re.MULTILINE)), entries)


def ask_pip(wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return pip's report of what it would install for these versions; nothing is installed.

    Raises:
        ValueError: if pip finds no file for one of them; with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        listed.write_text("".join(f"{name}=={version}\n" for name, version in wanted.items()), encoding="utf-8")
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", str(report)]
        command = [sys.executable, "-m", "pip", "install", *options, "-r", str(listed)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise ValueError(f"pip found no file for a pin of constraints.txt:\n{run.stderr.strip()}")
        return json.loads(report.read_text(encoding="utf-8"))


def found_hashes(report: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the SHA-256 by name and version in pip's report.

    Raises:
        ValueError: if a file has none.
    """
    found = {}
    for item in report["install"]:
        key = normal(item["metadata"]["name"]), item["metadata"]["version"]
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise ValueError(f"the index must give a SHA-256 for {'=='.join(key)}, got none; use another index")
        found[key] = digest
    return found


def merged(wanted: Mapping[str, str], known: Hashed, found: Mapping[tuple[str, str], str], here: str) -> Hashed:
    """Return the hashes of these versions: those that were known, and those found on this platform."""
    hashes = {}
    for key in wanted.items():
        hashes[key] = tuple(sorted({*known.hashes.get(key, ()), *([found[key]] if key in found else [])}))
        if not hashes[key]:
            raise ValueError(f"pip must report {'=='.join(key)}, got no such file; look at constraints.txt")
    return Hashed(tuple(sorted({*known.platforms, here})), hashes)


def text(content: Hashed) -> str:
    """Return the text of the file."""
    lines = [HEAD.rstrip(), *(f"# platform: {name}" for name in content.platforms)]
    lines += [f"# not in here: {name}, for {why}" for name, why in LEFT_OUT.items()]
    for (name, version), digests in sorted(content.hashes.items()):
        lines.append(" \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{digest}" for digest in digests)]))
    return "\n".join(lines) + "\n"


def this_platform() -> str:
    """Return the platform at hand, as it stands in the file."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{platform.python_implementation()} {version} on {sys.platform} {platform.machine()}"


def main(root: Path = ROOT) -> int:
    """Write the file for the pins at hand; return 0, or 1 where pip or the index has no answer."""
    from acelib.lab.home import write_whole

    wanted, path = hashable(root), root / FILE
    try:
        content = merged(wanted, read_hashed(path), found_hashes(ask_pip(wanted)), this_platform())
    except ValueError as error:
        say(str(error))
        return 1
    write_whole(path, lambda temporary: temporary.write_text(text(content), encoding="utf-8"))
    say(f"{FILE}: {len(content.hashes)} packages, {_count(content.hashes.values())} files")
    return 0


def _count(groups: Iterable[tuple[str, ...]]) -> int:
    return sum(map(len, groups))


if __name__ == "__main__":
    sys.exit(main())
