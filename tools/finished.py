"""Notes of what a finished step of the build left behind: the key of what it was made from, and a hash of every file.

A note is written last, so a step that was cut short has none. What was removed, cut or edited since is found by its
hash, and the step is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """A finished step.

    Attributes:
        key: a hash of what it was made from; "" where the note cannot be read.
        files: SHA-256 by path, of each file that it left behind.
    """

    key: str
    files: Mapping[str, str]

    def damage(self, folder: Path) -> list[str]:
        """Return the paths, relative to ``folder``, of the files that are gone or hold something else now."""
        return [name for name, kept in self.files.items() if _hash(folder / name) != kept]


def note_finished(note: Path, key: str, folder: Path, files: Iterable[Path]) -> None:
    """Write the note of a step that left these files in ``folder``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page, note = Path(folder, "page.html"), Path(folder, "key")
        ...     _ = page.write_text("whole")
        ...     note_finished(note, "abc", Path(folder), [page])
        ...     assert read_finished(note).damage(Path(folder)) == []
        ...     _ = page.write_text("half")
        ...     assert read_finished(note).damage(Path(folder)) == ["page.html"]
    """
    from acelib.lab.home import write_whole

    hashes = {path.relative_to(folder).as_posix(): _hash(path) for path in sorted(files)}
    text = json.dumps({"key": key, "files": hashes}, indent=1) + "\n"
    write_whole(note, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_finished(note: Path) -> Finished | None:
    """Return what a note says: None where there is no note, no key and itself as damaged where it cannot be read."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        return Finished(str(content["key"]), {str(name): str(kept) for name, kept in content["files"].items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Finished("", {note.name: "unreadable"})


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
