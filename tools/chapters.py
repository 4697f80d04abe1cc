"""How does the book come about? Chapters are executed once under a key, then rendered, and only on request stored.

papermill executes a chapter into ``_build/executed`` unless its key still holds: a hash of its cells, of ``acelib/``,
``data/``, ``constraints.txt`` and the Python version. Jupyter Book renders a staged copy and executes nothing itself.
A key is written only after success, so a failure stays a failure until it is mended.

Run as a script (``python -m tools.chapters book``) it imports nothing heavy unless there is work to do.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("book/ledger", "book/status")
TRANSIENT = ("papermill", "execution")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ChapterError(RuntimeError):
    """A chapter did not run to its end; the message names the chapter, the cell and the exception."""


class RenderError(RuntimeError):
    """Jupyter Book failed or warned; the message repeats what it said."""


# ---------------------------------------------------------------- what there is


def chapters(root: Path = ROOT) -> list[Path]:
    """The chapters' notebooks in the order of ``_toc.yml``.

    Raises:
        ValueError: ``_toc.yml`` names a file that does not exist, or leaves out a notebook of ``book/``.
    """
    import yaml

    listed: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            listed.extend(str(node[key]) for key in ("root", "file") if key in node)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                walk(child)

    walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    found = [root / f"{name}.ipynb" for name in listed if (root / f"{name}.ipynb").exists()]
    pages = {name for name in listed if (root / f"{name}.md").exists()} | set(GENERATED)
    lost = [name for name in listed if name not in pages and root / f"{name}.ipynb" not in found]
    left_out = sorted(set((root / "book").glob("*.ipynb")) - set(found))
    if lost or left_out:
        raise ValueError(
            f"_toc.yml and book/ disagree: listed without a file: {', '.join(lost) or 'none'}; "
            f"notebooks not listed: {', '.join(path.name for path in left_out) or 'none'}. Correct _toc.yml."
        )
    return found


def read_notebook(path: Path):
    import nbformat

    return nbformat.read(path, as_version=4)


def write_text(path: Path, text: str) -> None:
    """Write to a temporary name and rename, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def title(notebook, default: str = "") -> str:
    """The first heading of a notebook, without its mark-up signs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return line[2:].strip()
    return default


# ---------------------------------------------------------------- keys


def _hash_files(digest, root: Path, files) -> None:
    for path in sorted(files):
        parts = path.relative_to(root).parts
        if path.is_file() and "__pycache__" not in parts and not any(part.startswith(".") for part in parts):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())


def common_key(root: Path = ROOT) -> str:
    """What every chapter depends on, as a hash: the package, the data, the pinned versions, Python."""
    digest = hashlib.sha256(repr(sys.version_info[:3]).encode())
    for folder in ("acelib", "data"):
        _hash_files(digest, root, (root / folder).rglob("*"))
    _hash_files(digest, root, [root / "constraints.txt"])
    return digest.hexdigest()


def chapter_key(path: Path, common: str) -> str:
    """One chapter's key: its cells (kind, source, lasting metadata; no outputs) on top of the common key."""
    cells = [
        (cell.cell_type, cell.source, {k: v for k, v in cell.metadata.items() if k not in TRANSIENT})
        for cell in read_notebook(path).cells
    ]
    return hashlib.sha256((common + json.dumps(cells, sort_keys=True)).encode()).hexdigest()


def executed_path(path: Path, root: Path) -> Path:
    return root / "_build" / "executed" / path.name


def is_current(path: Path, root: Path = ROOT, common: str | None = None) -> bool:
    """True where the executed copy of a chapter belongs to the present cells, package, data and versions."""
    out = executed_path(path, root)
    key = out.with_suffix(".key")
    if not (out.exists() and key.exists()):
        return False
    return key.read_text(encoding="utf-8") == chapter_key(path, common or common_key(root))


# ---------------------------------------------------------------- execution


@contextlib.contextmanager
def _environment(one_thread: bool):
    """One arithmetic thread for the kernels started within, and the kernel of this very environment."""
    wanted = {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    wanted |= dict.fromkeys(THREAD_VARIABLES, "1") if one_thread else {}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check_parameters(path: Path, parameters: dict) -> None:
    import papermill

    known = set(papermill.inspect_notebook(str(path)))
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise ValueError(
            f"parameters: {', '.join(unknown)} not known to {path.name}, expected some of "
            f"{', '.join(sorted(known)) or 'none'}; the names stand in the chapter's cell tagged 'parameters'."
        )


def _explain(path: Path, error: Exception) -> str:
    if not hasattr(error, "ename"):
        return f"{path.stem}: the kernel could not run it ({type(error).__name__}: {error})"
    lines = COLOUR.sub("", "\n".join(error.traceback)).splitlines()
    trace = "\n".join(f"    {line}" for line in lines[-25:])
    return f"{path.stem}: cell {error.cell_index} raised {error.ename}: {error.evalue}\n{trace}"


def execute(
    path, *, parameters: dict | None = None, profile: str = "quick", out=None, root: Path | None = None
) -> Path:
    """The path of the executed copy of one notebook, run in its own folder on one thread (``full``: all threads).

    Args:
        path: The notebook.
        parameters: Values for its cell tagged ``parameters``.
        profile: ``quick`` (the notebook as it stands) or ``full``.
        out: Where the copy goes; default ``_build/executed`` under ``root``.
        root: The book's folder, default the one this file belongs to.

    Raises:
        ValueError: a parameter the notebook does not have, before anything runs.
        ChapterError: a cell raised; the notebook up to there is kept as ``NAME.failed.ipynb`` beside ``out``.
    """
    import papermill

    path = Path(path).resolve()
    out = Path(out) if out is not None else executed_path(path, Path(root or ROOT))
    values = dict(parameters or {}) | ({} if profile == "quick" else {"profile": profile})
    _check_parameters(path, values)
    out.parent.mkdir(parents=True, exist_ok=True)
    running, failed = out.with_name(f"{out.stem}.running.ipynb"), out.with_name(f"{out.stem}.failed.ipynb")
    try:
        with _environment(one_thread=profile == "quick"):
            papermill.execute_notebook(
                str(path),
                str(running),
                parameters=values,
                cwd=str(path.parent),
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
    except Exception as error:
        if running.exists():
            os.replace(running, failed)
        raise ChapterError(_explain(path, error)) from error
    os.replace(running, out)
    failed.unlink(missing_ok=True)
    return out


def _execute_one(path: Path, root: Path, key: str) -> tuple[float, str | None]:
    """Seconds, and what went wrong or None; the key is written only where nothing did."""
    start, stored = time.perf_counter(), executed_path(path, root).with_suffix(".key")
    stored.unlink(missing_ok=True)
    try:
        execute(path, root=root)
    except (ChapterError, ValueError) as error:
        return time.perf_counter() - start, str(error)
    write_text(stored, key)
    return time.perf_counter() - start, None


def say(text: str) -> None:
    print(text, flush=True)


def execute_all(root: Path = ROOT, *, jobs: int = 2) -> list[str]:
    """The failures (empty: none) after executing each chapter whose key no longer holds, ``jobs`` at a time."""
    paths, common = chapters(root), common_key(root)
    todo = [path for path in paths if not is_current(path, root, common)]
    say(f"chapters: {len(paths)}, to be executed: {len(todo)}")
    if not todo:
        return []
    failures = []
    with ProcessPoolExecutor(min(jobs, len(todo))) if jobs > 1 else contextlib.nullcontext() as pool:
        work = [(path, root, chapter_key(path, common)) for path in todo]
        if pool is None:
            results = ((item[0], _execute_one(*item)) for item in work)
        else:
            futures = {pool.submit(_execute_one, *item): item[0] for item in work}
            results = ((futures[future], future.result()) for future in as_completed(futures))
        for path, (seconds, problem) in results:
            say(f"{'FAILED  ' if problem else 'executed'} {path.stem} in {seconds:.1f} s")
            if problem:
                failures.append(problem)
    return failures


# ---------------------------------------------------------------- pages


def _versions() -> dict[str, str]:
    import importlib.metadata
    import platform

    names = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib", "captum", "jupyter-book")
    found = {"Python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _stage(notebooks: dict[str, Path], root: Path, site: Path) -> None:
    """A copy of the book with these notebooks and with the ledger and status pages written from them."""
    from tools.ledger_page import ledger_page, status_page

    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(root / "book", site / "book", ignore=shutil.ignore_patterns("*.ipynb", ".*", "__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, site / name)
    read = {stem: read_notebook(Path(path)) for stem, path in notebooks.items()}
    for stem, path in notebooks.items():
        shutil.copy(path, site / "book" / f"{stem}.ipynb")
    content = [(stem, title(notebook, stem), notebook) for stem, notebook in read.items()]
    full = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / "data/ledger").glob("*.json"))]
    write_text(site / "book/ledger.md", ledger_page(content, full))
    write_text(site / "book/status.md", status_page(content, _versions()))


def render(notebooks: dict[str, Path], *, root: Path | None = None, out=None) -> Path:
    """The folder of HTML pages made from executed notebooks; every warning of Jupyter Book is an error.

    Args:
        notebooks: Path of the executed notebook by chapter name (file name without ``.ipynb``).
        root: The book's folder, default the one this file belongs to.
        out: Folder for the staged copy (``site``) and the pages (``html``), default ``_build`` under ``root``.

    Raises:
        RenderError: Jupyter Book failed or warned; pages of an earlier, good build stay as they were.
    """
    root = Path(root or ROOT)
    out = Path(out or root / "_build")
    site, work, pages = out / "site", out / "render", out / "html"
    _stage(notebooks, root, site)
    shutil.rmtree(work, ignore_errors=True)  # fresh doctrees: an incremental call forgets the warnings of the last one
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')",
        "build",
        str(site),
        "--path-output",
        str(work),
        "-W",
        "-n",
        "--keep-going",
        "-q",
    ]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    made = work / "_build" / "html"
    write_text(out / "render.log", run.stdout + run.stderr)
    if run.returncode or not (made / "index.html").exists():
        said = COLOUR.sub("", run.stdout + run.stderr).splitlines()
        told = list(dict.fromkeys(line for line in said if re.search(r"WARNING|ERROR|CRITICAL", line))) or said[-25:]
        raise RenderError(
            "\n".join(
                [
                    "jupyter-book did not render the pages without a warning:",
                    *told,
                    f"(everything it said: {out / 'render.log'})",
                ]
            )
        )
    shutil.rmtree(pages, ignore_errors=True)
    os.replace(made, pages)
    return pages


def _pages_key(root: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256(common_key(root).encode())
    _hash_files(digest, root, [path for path in (root / "book").rglob("*") if path.suffix != ".ipynb"])
    _hash_files(digest, root, [root / "_config.yml", root / "_toc.yml"])
    for path in paths:
        digest.update(executed_path(path, root).with_suffix(".key").read_bytes())
    return digest.hexdigest()


def book(root: Path = ROOT, *, jobs: int = 2) -> int:
    """0 once all chapters are executed and the pages stand in ``_build/html``, else 1 with the reasons printed."""
    start = time.perf_counter()
    failures = execute_all(root, jobs=jobs)
    if failures:
        say("\n" + "\n\n".join(failures) + "\n\nThe pages were not rendered; mend the above and run it again.")
        return 1
    paths = chapters(root)
    stamp, index, key = root / "_build/html.key", root / "_build/html/index.html", _pages_key(root, paths)
    if index.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        say(f"pages: unchanged, {index.relative_to(root)} ({time.perf_counter() - start:.1f} s)")
        return 0
    stamp.unlink(missing_ok=True)
    try:
        render({path.stem: executed_path(path, root) for path in paths}, root=root)
    except RenderError as error:
        say(str(error))
        return 1
    write_text(stamp, key)
    say(f"pages: rendered, {index.relative_to(root)} ({time.perf_counter() - start:.1f} s)")
    return 0


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The exit status of ``book``, ``refresh``, ``stored --to FOLDER`` or ``full [chapter …]``."""
    parser = argparse.ArgumentParser(prog="build", description="Execute, render and store the book.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("book", help="execute what changed and render the pages").add_argument(
        "--jobs", type=int, default=2, help="chapters executed at a time"
    )
    commands.add_parser("refresh", help="keep the executed chapters as the stored ones")
    commands.add_parser("stored", help="render the stored notebooks as they are").add_argument("--to", required=True)
    commands.add_parser("full", help="execute at the full profile").add_argument("chapters", nargs="*")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "book":
            return book(root, jobs=chosen.jobs)
        if chosen.command in ("refresh", "full"):
            from tools import stored

            return stored.refresh(root) if chosen.command == "refresh" else stored.full(chosen.chapters, root)
        say(str(render({path.stem: path for path in chapters(root)}, root=root, out=chosen.to) / "index.html"))
        return 0
    except (ValueError, RenderError) as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
