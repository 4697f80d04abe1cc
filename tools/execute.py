"""The execution of notebooks by papermill: one at the wish of a test, or all chapters whose key no longer holds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, Sources, executed_path, read_notebook, say
from tools.finished import note_finished
from tools.lock import end_with_parent

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SECONDS = "ACELIB_CELL_SECONDS"  # the variable that changes how long one cell may take
LIMITS = {"quick": 20 * 60, "full": 24 * 3600}  # far more than any cell needs: a limit for what would never end
NOTES = "ACELIB_NOTE_READS"  # as in acelib.lab.home, which would load torch into this process


class ChapterError(RuntimeError):
    """A chapter that did not run to its end; the message names the chapter, the cell and the exception."""


@contextlib.contextmanager
def environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set environment variables, and put them back at the end."""
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


@contextlib.contextmanager
def noted_reads() -> Iterator[list[str]]:
    """Yield a list that holds, after the context, the files of ``data/`` that kernels started within looked for."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "reads"
        with environment({NOTES: str(notes)}):
            yield found
        if notes.exists():
            found += sorted(set(notes.read_text(encoding="utf-8").splitlines()))


def execute_notebook(
    path: str | os.PathLike,
    *,
    parameters: dict[str, Any] | None = None,
    profile: str = "quick",
    out: str | os.PathLike | None = None,
    root: Path | None = None,
) -> Path:
    """Execute one notebook in its own folder, on one thread (``full``: all threads), and return the path of the copy.

    A cell may take 20 minutes, in a full run a day; ``ACELIB_CELL_SECONDS`` holds another number, 0 for no limit.

    Args:
        path: the notebook.
        parameters: values for its cell tagged ``parameters``.
        profile: ``quick`` (the notebook as it stands) or ``full``.
        out: path of the copy; default: in ``_build/executed`` under ``root``.
        root: the book's folder; default: the one this file belongs to.

    Raises:
        ValueError: if the notebook lacks a parameter or the limit is no number, before anything runs.
        ChapterError: if a cell raises or takes too long; the notebook up to there is kept as ``NAME.failed.ipynb``
            beside ``out``.
    """
    import papermill

    path = Path(path).resolve()
    target = Path(out) if out is not None else executed_path(path, Path(root or ROOT))
    values = dict(parameters or {}) | ({} if profile == "quick" else {"profile": profile})
    _check_parameters(path, values)
    limit = _limit(profile)
    target.parent.mkdir(parents=True, exist_ok=True)
    running, failed = (target.with_name(f"{target.stem}.{state}.ipynb") for state in ("running", "failed"))
    wanted = {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # the kernel of this environment
    wanted["ACELIB_EXPLORE"] = "page"  # as in acelib.explore: what is stored holds no widgets, which change each run
    wanted |= dict.fromkeys(THREAD_VARIABLES, "1") if profile == "quick" else {}
    try:
        with environment(wanted):
            papermill.execute_notebook(
                str(path),
                str(running),
                parameters=values,
                cwd=str(path.parent),
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                execution_timeout=limit,
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
    except Exception as error:
        if running.exists():
            os.replace(running, failed)
        raise ChapterError(_explain(path, error, failed, limit)) from error
    os.replace(running, target)
    failed.unlink(missing_ok=True)
    return target


def execute_all(sources: Sources, *, jobs: int = 2) -> list[str]:
    """Execute each chapter whose key no longer holds, ``jobs`` at a time, and return the failures."""
    todo = sources.stale()
    say(f"chapters: {len(sources.chapters)}, to be executed: {len(todo)}")
    for path in sources.damaged():
        say(f"gone or changed since it was made, so its chapter is executed again: {path.relative_to(sources.root)}")
    failures = []
    for path, seconds, reads, problem in _results(todo, sources.root, min(jobs, len(todo))):
        say(f"{'FAILED  ' if problem else 'executed'} {path.stem} in {seconds:.1f} s")
        if problem:
            failures.append(problem)
        else:
            _keep(path, sources, reads)
    return failures


def _results(todo: list[Path], root: Path, jobs: int) -> Iterator[tuple[Path, float, list[str], str | None]]:
    if jobs <= 1:
        yield from (_execute_one(path, root) for path in todo)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(jobs, initializer=end_with_parent) as pool:
        for future in as_completed([pool.submit(_execute_one, path, root) for path in todo]):
            yield future.result()


def _execute_one(path: Path, root: Path) -> tuple[Path, float, list[str], str | None]:
    """Return the chapter, its seconds, the shipped files it looked for, and what went wrong or None."""
    start, problem = time.perf_counter(), None
    executed_path(path, root).with_suffix(".key").unlink(missing_ok=True)
    with noted_reads() as reads:
        try:
            execute_notebook(path, root=root)
        except (ChapterError, ValueError) as error:
            problem = str(error)
    return path, time.perf_counter() - start, reads, problem


def _keep(path: Path, sources: Sources, reads: list[str]) -> None:
    """Write the list of what a chapter that ran to its end looked for, and then the note of its key and its files."""
    from acelib.lab.home import write_whole

    out = executed_path(path, sources.root)
    text = json.dumps(reads, indent=1) + "\n"
    listed = write_whole(out.with_suffix(".reads.json"), lambda part: part.write_text(text, encoding="utf-8"))
    note_finished(out.with_suffix(".key"), sources.key(path, reads), out.parent, [out, listed])


def _check_parameters(path: Path, parameters: dict[str, Any]) -> None:
    import papermill

    known = set(papermill.inspect_notebook(str(path)))
    unknown = ", ".join(sorted(set(parameters) - known))
    if unknown:
        expected = ", ".join(sorted(known)) or "none"
        raise ValueError(
            f"parameters must be among those of {path.name}, {expected}, got {unknown}; see its first cells"
        )


def _limit(profile: str) -> int | None:
    """Return how many seconds a cell may take, None for any number."""
    said = os.environ.get(SECONDS, "").strip() or str(LIMITS[profile])
    if not (said.isascii() and said.isdigit()):
        raise ValueError(
            f"{SECONDS} must be a whole number of seconds, 0 for no limit, got {said!r}; correct it or unset it"
        )
    return int(said) or None


def _explain(path: Path, error: Exception, failed: Path, limit: int | None) -> str:
    if hasattr(error, "ename"):
        lines = COLOUR.sub("", "\n".join(error.traceback)).splitlines()
        trace = "\n".join(f"    {line}" for line in lines[-25:])
        return f"{path.stem}: cell {error.cell_index} raised {error.ename}: {error.evalue}\n{trace}"
    if type(error).__name__ == "CellTimeoutError":
        index, source = _last_started(failed)
        return (
            f"{path.stem}: cell {index} (`{source}`) took more than {limit} s and was stopped; look whether it would "
            f"ever end, or let {SECONDS} hold more seconds (0: no limit)"
        )
    return f"{path.stem}: the kernel could not run it ({type(error).__name__}: {error})"


def _last_started(notebook: Path) -> tuple[int, str]:
    """Return the number of the cell at which papermill was stopped, and its first line."""
    cells = read_notebook(notebook).cells
    index = max(i for i, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time"))
    return index, cells[index].source.strip().partition("\n")[0]
