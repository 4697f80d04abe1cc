"""The links that lead out of the book: do they still arrive?

``make links`` asks each address once, and needs a network. Links inside the book are the business of the page tests.
An address that has moved or gone is a failure; one whose host refuses programs, or does not answer now, is only named.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.chapters import ROOT, say

AGENT = "Mozilla/5.0 (compatible; link check of an executable book)"
GONE = {400, 404, 410}
HREF = re.compile(r"""<a\b[^>]*?\bhref=["'](https?://[^"'#]+)""")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
IN_TEXT = re.compile(r"https?://[^\s<>()\[\]{}\"'`]+")


def addresses(folder: Path, texts: Iterable[Path] = ()) -> dict[str, list[str]]:
    """Return the outside addresses of pages and texts, each with the names of the files that lead there.

    Args:
        folder: the pages.
        texts: files in Markdown; what stands in code there is an example.
    """
    found: dict[str, list[str]] = {}
    sources = [(path, HREF) for path in sorted(folder.rglob("*.html"))] + [(path, IN_TEXT) for path in texts]
    for path, form in sources:
        text = path.read_text(encoding="utf-8")
        for url in form.findall(CODE.sub("", text) if form is IN_TEXT else text):
            names = found.setdefault(url.replace("&amp;", "&").rstrip(".,;:"), [])
            if path.name not in names:
                names.append(path.name)
    return {url: names for url, names in found.items() if "//127.0.0.1" not in url and "//localhost" not in url}


def answer(url: str, seconds: float = 20) -> str:
    """Ask an address and return ``""`` where it arrives, else why not; what starts with "gone" is a failure.

    Args:
        url: the address.
        seconds: how long to wait.
    """
    request = urllib.request.Request(url, headers={"User-Agent": AGENT})
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        return f"gone: {error.code}" if error.code in GONE else f"refused: {error.code}"
    except (OSError, ValueError) as error:
        return f"no answer: {error}"


def check(found: dict[str, list[str]], ask: Callable[[str], str] = answer, *, at_once: int = 8) -> int:
    """Print the addresses that do not arrive and return how many are gone: all of them where not one answers.

    Args:
        found: what ``addresses`` returned.
        ask: what asks an address.
        at_once: how many are asked at a time.
    """
    with ThreadPoolExecutor(at_once) as pool:
        said = dict(zip(found, pool.map(ask, found), strict=True))
    for url, problem in said.items():
        if problem:
            say(f"{problem}  {url}  ({', '.join(found[url][:3])})")
    gone = sum(problem.startswith("gone") for problem in said.values())
    if said and all(problem.startswith("no answer") for problem in said.values()):
        say("not one address answered: is there a network?")
        return len(said)
    say(f"{len(said)} addresses, {sum(map(bool, said.values()))} did not answer as they should, {gone} of them gone")
    return gone


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Check the links of a folder of pages and of the texts beside it; return 0, or 1 where one is gone."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    return 1 if check(addresses(root / folder, sorted(root.glob("*.md")))) else 0


if __name__ == "__main__":
    sys.exit(main())
