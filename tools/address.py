"""The repository's address: it is kept in ``_config.yml``, and every other mention is changed with it.

``make address URL=https://github.com/owner/name`` replaces the address in every text file of the project: whole
addresses, the links that open a chapter in Colab, and raw-file links. Going back restores every byte.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tools.chapters import ROOT

HOST = "https://github.com/"
FORM = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9_.-]*[A-Za-z0-9_-])")
IN_CONFIG = re.compile(r"^repository:\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*(\S+)", re.MULTILINE)
TEXT = set(".md .ipynb .yml .yaml .toml .py .cff .txt .cfg .json .bib .css .js .svg".split())
NAMES = {"Makefile", "LICENSE", "run"}
SKIPPED = set(".git .venv _build __pycache__ .pytest_cache .ruff_cache .hypothesis .ipynb_checkpoints".split())


def check(url: str) -> str:
    """Return the address without a trailing slash or ``.git``.

    Raises:
        ValueError: if it does not have the form ``https://github.com/owner/name``.

    Example:
        >>> assert check("https://github.com/someone/book.git") == "https://github.com/someone/book"
    """
    tidy = re.sub(r"(\.git)?/?$", "", url.strip())
    if not FORM.fullmatch(tidy):
        raise ValueError(
            f"URL must be https://github.com/owner/name, got {url!r}; "
            "call `make address URL=https://github.com/owner/name`"
        )
    return tidy


def current(root: Path = ROOT) -> str:
    """Return the address that ``_config.yml`` gives the repository.

    Raises:
        ValueError: if ``_config.yml`` has no ``url:`` under ``repository:``, or one of another form.
    """
    found = IN_CONFIG.search((root / "_config.yml").read_text(encoding="utf-8"))
    if not found:
        raise ValueError(
            "_config.yml must hold the repository's address, `url:` under `repository:`, got none; put it back"
        )
    return check(found.group(1).strip("'\""))


def text_files(root: Path = ROOT) -> list[Path]:
    """Return the project's own text files, ``_config.yml`` last, so that a change cut short can be repeated."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.endswith(".egg-info"))
        found += [Path(folder, name) for name in sorted(names) if Path(name).suffix in TEXT or name in NAMES]
    return sorted(found, key=lambda path: path == root / "_config.yml")


def change(url: str, root: Path = ROOT) -> list[Path]:
    """Rewrite the present address to ``url`` everywhere and return the files that changed.

    Args:
        url: the new address, ``https://github.com/owner/name``.
        root: the project's folder.
    """
    new, old = check(url).removeprefix(HOST), current(root).removeprefix(HOST)
    mention = re.compile(
        rf"(github\.com[/:]|colab\.research\.google\.com/github/|raw\.githubusercontent\.com/){re.escape(old)}"
        r"(?![A-Za-z0-9_-]|\.(?!git\b)[A-Za-z0-9])"
    )
    changed = []
    for path in text_files(root):
        before = path.read_bytes().decode("utf-8")
        after = mention.sub(lambda match: match.group(1) + new, before)
        if after != before:
            _rewrite(path, after)
            changed.append(path)
    return changed


def _rewrite(path: Path, text: str) -> None:
    from acelib.lab.home import write_whole

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode("utf-8"))
        temporary.chmod(path.stat().st_mode)

    write_whole(path, write)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Change the address and print the files that changed; return 0, or 1 where the address cannot be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        changed = change(arguments[0] if arguments else "", root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(path.relative_to(root))
    print(f"{len(changed)} files now name {current(root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
