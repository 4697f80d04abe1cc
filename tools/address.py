"""The repository's address: it is kept in ``_config.yml``, and every other mention is changed with it.

``make address URL=https://github.com/owner/name`` replaces the address in every text file of the project: whole
addresses, the links that open a chapter in Colab, and raw-file links. Going back restores every byte.

While the owner is ``OWNER`` the book has no public address, and nothing may lead there or fetch from there: passages
that need the address say so in words (they stand between two comments), and the pages have no such link.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tools.chapters import ROOT
from tools.marks import between

PLACEHOLDER = "OWNER"
HOST = "https://github.com/"
FORM = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9_.-]*[A-Za-z0-9_-])")
IN_CONFIG = re.compile(r"^repository:\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*(\S+)", re.MULTILINE)
TEXT = set(".md .ipynb .yml .yaml .toml .py .cff .txt .cfg .json .bib .css .js .svg".split())
NAMES = {"Makefile", "LICENSE", "run"}
PASSAGES = {
    ("README.md", "clone"): (
        "The repository's public address follows here. Until then, in the folder of the copy that you have:",
        "```\ngit clone {url} attribution-book\ncd attribution-book\n```",
    ),
    ("README.md", "colab"): (
        "`make notebooks` writes the chapters for Jupyter and Colab into `_build/notebooks`, with every number and\n"
        "reference in plain words. Buttons that open them in Colab appear in the pages with the public address.",
        "Each chapter also opens in Colab: press the rocket at the top of its page. `make notebooks` writes what it\n"
        "opens, and `make notebooks BRANCH=colab` commits it where Colab looks.",
    ),
    ("book/index.md", "colab"): (
        "`make notebooks` writes the chapters for Jupyter and Colab; buttons that open them there come with the book's "
        "public\naddress.",
        "Press the rocket at the top of a chapter to open it in Colab.",
    ),
    ("book/index.md", "cite"): (
        "> The causal-attribution-book contributors. *Causal Attribution in Neural Networks: an executable book*.\n"
        "> Its public address follows.",
        "> The causal-attribution-book contributors. *Causal Attribution in Neural Networks: an executable book*.\n"
        "> <{url}>",
    ),
    ("pyproject.toml", "links"): (
        "# The links follow with the project's public address.",
        '[project.urls]\nSource = "{url}"\nIssues = "{url}/issues"\nChangelog = "{url}/blob/main/CHANGELOG.md"',
    ),
    ("CITATION.cff", "cite"): ("# repository-code: the public address follows", "repository-code: {url}"),
}
"""Passages that need the address, by file and name: what stands there without one, and with one."""

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


def is_public(url: str) -> bool:
    """Return whether an address may be linked and fetched from: whether its owner is more than the placeholder.

    Args:
        url: the repository's address.

    Example:
        >>> assert not is_public("https://github.com/OWNER/book") and is_public("https://github.com/someone/book")
    """
    return f"/{PLACEHOLDER}/" not in url


def published(root: Path = ROOT) -> str:
    """Return where the pages are published, ``html: baseurl:`` of ``_config.yml``, with a slash at its end.

    Empty where they are not: a guess would be a link that may lead nowhere.
    """
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    base = ((config.get("html") or {}).get("baseurl") or "").rstrip("/")
    return f"{base}/" if base else ""


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
        after = with_passages(after, path.relative_to(root).as_posix(), HOST + new)
        if after != before:
            _rewrite(path, after)
            changed.append(path)
    return changed


def with_passages(text: str, name: str, url: str) -> str:
    """Return a file's text with what its marked passages say under this address.

    Args:
        text: the file's text; passages that are not marked in it are left out.
        name: its path below the root.
        url: the repository's address.
    """
    for (file, passage), wordings in PASSAGES.items():
        form = "# {}" if file.endswith((".cff", ".toml", ".yml")) else "<!-- {} -->"
        marks = form.format(f"address: {passage}"), form.format(f"end of address: {passage}")
        if file == name and marks[0] in text:
            text = between(marks, wordings[is_public(url)].format(url=url).splitlines(), text, name)
    return text


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
