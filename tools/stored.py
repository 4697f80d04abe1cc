"""The outputs that are kept: executed chapters become the stored ones, and full runs become ledger files.

Nothing else writes outputs into ``book/`` or results into ``data/ledger``: a chapter's stored outputs are those of an
executed copy whose key holds, without anything that would differ from run to run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, TRANSIENT, Sources, executed_path, find_chapters, read_notebook, say
from tools.execute import THREAD_VARIABLES, ChapterError, environment, execute_notebook
from tools.executors import crew
from tools.lock import BusyError, alone
from tools.pictures import note_pictures

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}


def store(path: Path, out: Path) -> None:
    """Write the executed notebook ``path`` as the stored notebook ``out``."""
    import nbformat

    from acelib.lab.home import write_whole

    text = nbformat.writes(_as_stored(read_notebook(path))).rstrip("\n") + "\n"
    write_whole(out, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def refresh(root: Path = ROOT) -> int:
    """Store every executed chapter in ``book/`` and note its pictures in ``data/pictures.json``; return 0.

    Where a chapter has not been executed yet, or its copy is damaged, nothing is stored and 1 returned.
    """
    sources = Sources(root)
    stale = [path.stem for path in sources.stale()]
    if stale:
        say(f"not executed since their last change, or damaged: {', '.join(stale)}; run `make book` first.")
        return 1
    for path in sources.chapters:
        before = path.read_bytes()
        store(executed_path(path, root), path)
        say(f"{'unchanged' if path.read_bytes() == before else 'stored'} {path.relative_to(root)}")
    say(f"noted the pictures: {note_pictures(root).relative_to(root)}")
    return 0


def full(names: list[str] | None = None, root: Path = ROOT, *, executor: str = "") -> int:
    """Run chapters at the full profile and write their results into ``data/ledger``; return 0, or 1 after a failure.

    Args:
        names: names of chapters; none or None means all.
        root: the book's folder.
        executor: who runs them side by side, see ``tools.executors``; "" for one after the other.

    Raises:
        ValueError: if a name is not a chapter's, or there is no such executor.
    """
    paths = {path.stem: path for path in find_chapters(root)}
    unknown = sorted(set(names or []) - set(paths))
    if unknown:
        raise ValueError(f"chapters must be some of {', '.join(paths)}, got {', '.join(unknown)}")
    chosen, failures = names or list(paths), []
    with crew(executor) as (workers, threads):
        if workers is None:
            results: Iterable[Any] = (run_full(paths[stem], root, threads) for stem in chosen)
        else:
            futures = [workers.submit(run_full, paths[stem], root, threads) for stem in chosen]
            results = (_result(stem, future) for stem, future in zip(chosen, futures, strict=True))
        for done, said in results:
            if done:
                say(said)
            else:
                failures.append(said)
    if failures:
        say("\n" + "\n\n".join(failures))
    return int(bool(failures))


def run_full(path: Path, root: Path, threads: int | None) -> tuple[bool, str]:
    """Run one chapter at the full profile and write its ledger; return whether it ran to its end, and a sentence.

    Args:
        path: the chapter.
        root: the book's folder, which a worker on another machine must see under the same name.
        threads: that it may use; None for all.
    """
    from acelib.lab.ledger import save_ledger

    stem = path.stem
    start, target = time.perf_counter(), root / "_build/full" / f"{stem}.ipynb"
    limits = {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    try:
        with alone(target.with_suffix(".lock"), f"`make full` of {stem}"), environment(limits):
            out = execute_notebook(path, profile="full", out=target)
    except (ChapterError, BusyError) as error:
        return False, str(error)
    (root / "data/ledger").mkdir(parents=True, exist_ok=True)
    save_ledger(read_notebook(out), root / "data/ledger" / f"{stem}.json", profile="full")
    return True, f"full {stem} in {time.perf_counter() - start:.0f} s: data/ledger/{stem}.json"


def _result(stem: str, future: Future) -> tuple[bool, str]:
    """Return what ``run_full`` returned on a worker, or why it did not."""
    try:
        return future.result()
    except Exception as error:
        return False, f"{stem} was lost with its worker ({type(error).__name__}: {error})"


def _as_stored(notebook: Any) -> Any:
    """Return the notebook without what a run leaves behind: timings, injected cells, widget state, random cell ids."""
    import nbformat

    notebook = nbformat.from_dict(notebook)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        for name in TRANSIENT:
            cell.metadata.pop(name, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
        seen[name] = seen.get(name, -1) + 1
        cell["id"] = f"{name}-{seen[name]}" if seen[name] else name
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook
