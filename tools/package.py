"""The package: what it is made of, laid in a folder of its own, and built from there.

A page on a package index has no folder beside it, so relative links and pictures of the README become whole addresses,
where the project has one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.address import current, is_public
from tools.chapters import ROOT

FILES = ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md")
PICTURE = re.compile(r"(!\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)\)")
LINK = re.compile(r"(\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)\)")


def lay_out(folder: Path, root: Path = ROOT) -> Path:
    """Copy what the package is made of into a folder, in place of what is there, and return the folder.

    Args:
        folder: where; it is emptied first.
        root: the book's folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / "acelib", folder / "acelib", ignore=ignored)
    for name in FILES:
        shutil.copy(root / name, folder / name)
    readme = folder / "README.md"
    readme.write_text(with_addresses(readme.read_text(encoding="utf-8"), current(root)), encoding="utf-8", newline="\n")
    return folder


def with_addresses(text: str, url: str) -> str:
    """Return a page with its relative links and pictures as whole addresses; as it is where there is no address.

    Args:
        text: the page, in Markdown.
        url: the repository's address.

    Example:
        >>> with_addresses("[a](b.md) ![c](d.png) [e](https://e.org)", "https://github.com/some/one")
        '[a](https://github.com/some/one/blob/main/b.md) ![c](https://github.com/some/one/raw/main/d.png) [e](https://e.org)'
    """
    if not is_public(url):
        return text
    return LINK.sub(rf"\1{url}/blob/main/\2)", PICTURE.sub(rf"\1{url}/raw/main/\2)", text))


def build_wheel(folder: Path, python: Path | str = sys.executable, *, isolated: bool = True, root: Path = ROOT) -> Path:
    """Build the wheel and return it.

    Args:
        folder: where the sources are laid and the wheel goes.
        python: the Python whose pip builds.
        isolated: whether pip fetches the build tool; else the installed one is used.
        root: the book's folder.

    Raises:
        ValueError: if pip fails.
    """
    sources, out = lay_out(folder / "sources", root), folder / "wheel"
    shutil.rmtree(out, ignore_errors=True)
    command = [str(python), "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(sources)]
    run = subprocess.run([*command, *([] if isolated else ["--no-build-isolation"])], capture_output=True, text=True)
    if run.returncode:
        raise ValueError(f"pip must build the wheel, got this; mend it:\n{run.stderr.strip()[-2000:]}")
    (wheel,) = out.glob("*.whl")
    return wheel


def check_tag(tag: str, root: Path = ROOT) -> None:
    """Raise a ValueError unless a tag, the package and the citation name one version."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.findall(r"^version: (\S+)", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    if tag != f"v{version}" or cited != [version]:
        raise ValueError(
            f"the tag must be v and the version of pyproject.toml and CITATION.cff, got {tag} for {version} and "
            f"{', '.join(cited)}; correct them and tag again"
        )


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build source archive and wheel into ``_build/dist`` and check them; return 0, or 1 where something fails."""
    from tools.venv import find, make

    parser = argparse.ArgumentParser(prog="package", description="Build the wheel and the source archive.")
    parser.add_argument("--python", help="the Python of the environment that builds")
    parser.add_argument("--tag", help="refuse to build where this is not v and the version")
    chosen, place = parser.parse_args(arguments), root / "_build/package"
    try:
        if chosen.tag:
            check_tag(chosen.tag, root)
        base = [chosen.python] if chosen.python else find()
        python = make(root / "_build/environments/package", base)
        shutil.rmtree(root / "_build/dist", ignore_errors=True)
        steps = [
            ["pip", "install", "-q", "build", "twine"],
            ["build", "--outdir", str(root / "_build/dist"), str(lay_out(place / "sources", root))],
        ]
        for words in steps:
            _must(python, words)
        _must(python, ["twine", "check", "--strict", *map(str, sorted((root / "_build/dist").iterdir()))])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _must(python: Path, words: list[str]) -> None:
    if subprocess.run([str(python), "-m", *words]).returncode:
        raise ValueError(f"{words[0]} must succeed, got the error above; mend it and try again")


if __name__ == "__main__":
    sys.exit(main())
