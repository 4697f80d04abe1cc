"""Which outputs are kept? The executed chapters become the stored ones, and full runs become ledger files.

Nothing else writes outputs into ``book/`` or results into ``data/ledger``: a chapter's stored outputs are those of an
executed copy whose key holds, without anything that would differ from run to run.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from tools.chapters import (
    ROOT,
    TRANSIENT,
    ChapterError,
    chapters,
    common_key,
    execute,
    executed_path,
    is_current,
    read_notebook,
    say,
    write_text,
)

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}


def _as_stored(notebook):
    """The notebook without what a run leaves behind: timings, injected cells, widget state, random cell ids."""
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


def store(path: Path, out: Path) -> None:
    """Write the executed notebook ``path`` as the stored notebook ``out``."""
    import nbformat

    write_text(out, nbformat.writes(_as_stored(read_notebook(path))).rstrip("\n") + "\n")


def refresh(root: Path = ROOT) -> int:
    """0 once every executed chapter stands in ``book/`` as the stored one; 1 where one has not been executed yet."""
    paths, common = chapters(root), common_key(root)
    stale = [path.stem for path in paths if not is_current(path, root, common)]
    if stale:
        say(f"not executed since their last change: {', '.join(stale)}; run `make book` first.")
        return 1
    for path in paths:
        before = path.read_bytes()
        store(executed_path(path, root), path)
        say(f"{'unchanged' if path.read_bytes() == before else 'stored'} {path.relative_to(root)}")
    return 0


def full(names: list[str] | None = None, root: Path = ROOT) -> int:
    """0 once the named chapters (default all) ran at the full profile and their results stand in ``data/ledger``."""
    from acelib.lab.ledger import save_ledger

    paths = {path.stem: path for path in chapters(root)}
    unknown = sorted(set(names or []) - set(paths))
    if unknown:
        raise ValueError(f"chapters: {', '.join(unknown)} not known, expected some of {', '.join(paths)}.")
    failures = []
    for stem in names or paths:
        start = time.perf_counter()
        try:
            out = execute(paths[stem], profile="full", out=root / "_build/full" / f"{stem}.ipynb")
        except ChapterError as error:
            failures.append(str(error))
            continue
        (root / "data/ledger").mkdir(parents=True, exist_ok=True)
        save_ledger(read_notebook(out), root / "data/ledger" / f"{stem}.json", profile="full")
        say(f"full {stem} in {time.perf_counter() - start:.0f} s: data/ledger/{stem}.json")
    if failures:
        say("\n" + "\n\n".join(failures))
    return int(bool(failures))
