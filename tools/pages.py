"""The pages: a staged copy of the book, with the ledger and status pages, rendered by Jupyter Book.

Jupyter Book executes nothing. What its download button offers are the notebooks for Jupyter and Colab. Every warning is
an error, and pages of an earlier, good build stay until a new one is whole.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.address import is_public
from tools.chapters import ROOT, Sources, digest, executed_path, hash_files, read_notebook, title
from tools.colab import BRANCH
from tools.execute import COLOUR
from tools.imports import Modules
from tools.notebooks import write_notebooks
from tools.plain import Book


class RenderError(RuntimeError):
    """A failure or warning of Jupyter Book; the message repeats it."""


def pages_key(sources: Sources) -> str:
    """Return a hash of what the pages are made from.

    These are the executed chapters, the other files of ``book/``, the full runs in ``data/ledger``, ``acelib`` with its
    docstrings, the pinned versions, and the part of ``tools/`` that prints.
    """
    root = sources.root
    folders = ("acelib", "book", "data/ledger")
    files = [path for name in folders for path in (root / name).rglob("*") if path.suffix != ".ipynb"]
    files += [root / name for name in ("_config.yml", "_toc.yml", "constraints.txt")]
    printing = ["import tools.pages", "import tools.terms", "import tools.reading_aids"]  # two are Sphinx extensions
    files += Modules(root, "tools").reached(printing)
    keys = [executed_path(path, root).with_suffix(".key").read_text(encoding="utf-8") for path in sources.chapters]
    return digest([hash_files(root, files), keys, list(sys.version_info[:3])])


def render(notebooks: Mapping[str, Path], *, root: Path = ROOT, out: str | os.PathLike | None = None) -> Path:
    """Render executed notebooks and return the folder of the HTML pages.

    Args:
        notebooks: path of the executed notebook by chapter name (file name without ``.ipynb``).
        root: the book's folder; default: the one this file belongs to.
        out: folder for the staged copy (``site``) and the pages (``html``); default: ``_build`` under ``root``.

    Raises:
        RenderError: if Jupyter Book fails or warns; pages of an earlier, good build stay as they were.
    """
    from acelib.lab.home import write_whole
    from tools.sitemap import map_site

    out = Path(out or root / "_build")
    site, work, pages = out / "site", out / "render", out / "html"
    _stage(notebooks, root, site)
    shutil.rmtree(work, ignore_errors=True)  # fresh doctrees: an incremental call forgets the warnings of the last one
    program = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"
    strict = ["-W", "-n", "--keep-going", "-q"]
    command = [sys.executable, "-c", program, "build", str(site), "--path-output", str(work), *strict]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # where tools.reading_aids is
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    made, log, printed = work / "_build" / "html", out / "render.log", run.stdout + run.stderr
    write_whole(log, lambda temporary: temporary.write_text(printed, encoding="utf-8"))
    if run.returncode or not (made / "index.html").exists():
        raise RenderError(_explain(printed, log))
    try:
        write_notebooks(
            Book({name: read_notebook(Path(path)) for name, path in notebooks.items()}, root), made / "_sources"
        )
    except ValueError as error:
        raise RenderError(str(error)) from error
    shutil.rmtree(pages, ignore_errors=True)
    os.replace(made, pages)
    map_site(pages, root)
    return pages


def _explain(printed: str, log: Path) -> str:
    lines = COLOUR.sub("", printed).splitlines()
    problems = list(dict.fromkeys(line for line in lines if re.search(r"WARNING|ERROR|CRITICAL", line))) or lines[-25:]
    first = "jupyter-book did not render the pages without a warning:"
    return "\n".join([first, *problems, f"(the whole output: {log})"])


def _stage(notebooks: Mapping[str, Path], root: Path, site: Path) -> None:
    """Make a copy of the book with these notebooks and with the ledger and status pages written from them."""
    import nbformat

    from tools.course_page import teaching_page
    from tools.front import front_page
    from tools.ledger_page import judged_items, ledger_markdown, status_markdown
    from tools.paper_pages import written

    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(
        root / "book", site / "book", ignore=shutil.ignore_patterns("*.ipynb", "*.toml", ".*", "__pycache__")
    )
    shutil.copy(root / "_toc.yml", site / "_toc.yml")
    (site / "_config.yml").write_text(_configuration(root), encoding="utf-8")
    content = []
    for stem, path in notebooks.items():
        notebook = read_notebook(Path(path))
        content.append((stem, title(notebook, stem), notebook))
    full = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / "data/ledger").glob("*.json"))]
    for stem, _, notebook in content:
        linked = copy.deepcopy(notebook)
        link_claims(linked)
        text = nbformat.writes(linked)
        (site / "book" / f"{stem}.ipynb").write_text(text, encoding="utf-8")
    (site / "book/ledger.md").write_text(ledger_markdown(content, full), encoding="utf-8")
    index, guide = site / "book/index.md", site / "book/teaching.md"
    index.write_text(front_page(index.read_text(encoding="utf-8"), root, content, full), encoding="utf-8")
    if guide.exists():
        guide.write_text(teaching_page(guide.read_text(encoding="utf-8"), root, content), encoding="utf-8")
    for name, text in written(root, judged_items(content, full)).items():
        (site / f"book/{name}.md").write_text(text, encoding="utf-8")
    (site / "book/status.md").write_text(status_markdown(content, _versions()), encoding="utf-8")


def _configuration(root: Path) -> str:
    """Return ``_config.yml`` for the pages: no button leads to a repository that has no public address.

    Where it has one, Colab opens the converted notebooks: the branch of the repository is that of its button alone.
    """
    import yaml

    text = (root / "_config.yml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    if "repository" not in config:
        return text
    if is_public(config["repository"]["url"]):
        config["repository"]["branch"] = BRANCH
    else:
        del config["repository"]
        config.pop("launch_buttons", None)
        config.setdefault("html", {}).update(use_repository_button=False, use_issues_button=False)
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)


def link_claims(notebook: Any) -> None:
    """Make the id on every card of a paper's claim a link to its row in the ledger; in place."""
    from acelib.lab.claims.cards import claim_html
    from acelib.lab.ledger import CLAIM_MIME

    for cell in notebook.cells:
        for out in cell.get("outputs", ()):
            item = out.get("data", {}).get(CLAIM_MIME)
            if item is not None and item["claim"]["paper"] is not None:
                out["data"]["text/html"] = claim_html(item, f"ledger.html#claim-{item['id']}")


def _versions() -> dict[str, str]:
    import importlib.metadata
    import platform

    names = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib", "captum", "jupyter-book")
    found = {"Python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
