"""The outputs that are kept: executed chapters become the stored ones, and full runs become ledger files.

Nothing else writes outputs into ``book/`` or results into ``data/ledger``: a chapter's stored outputs are those of an
executed copy whose key holds, without anything that would differ from run to run.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, TRANSIENT, Sources, executed_path, find_chapters, read_notebook, say
from tools.execute import ChapterError, execute_notebook
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


def full(names: list[str] | None = None, root: Path = ROOT) -> int:
    """Run chapters at the full profile and write their results into ``data/ledger``; return 0, or 1 after a failure.

    Args:
        names: names of chapters; none or None means all.
        root: the book's folder.

    Raises:
        ValueError: if a name is not a chapter's.
    """
    from acelib.lab.ledger import save_ledger

    paths = {path.stem: path for path in find_chapters(root)}
    unknown = sorted(set(names or []) - set(paths))
    if unknown:
        raise ValueError(f"chapters must be some of {', '.join(paths)}, got {', '.join(unknown)}")
    failures = []
    for stem in names or paths:
        start, target = time.perf_counter(), root / "_build/full" / f"{stem}.ipynb"
        try:
            with alone(target.with_suffix(".lock"), f"`make full` of {stem}"):
                out = execute_notebook(paths[stem], profile="full", out=target)
        except (ChapterError, BusyError) as error:
            failures.append(str(error))
            continue
        (root / "data/ledger").mkdir(parents=True, exist_ok=True)
        save_ledger(read_notebook(out), root / "data/ledger" / f"{stem}.json", profile="full")
        say(f"full {stem} in {time.perf_counter() - start:.0f} s: data/ledger/{stem}.json")
    if failures:
        say("\n" + "\n\n".join(failures))
    return int(bool(failures))


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
