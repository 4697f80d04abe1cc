"""The files of a run: JSON, CSV and report, each whole, and all of them or none."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .words import plain_text

FORMAT = "acelib.effects/1"
NAMES = {"json": "effects.json", "csv": "effects.csv", "html": "report.html"}
COLUMNS = (
    "feature target value expectation expectation_stderr expectation_low expectation_high ace ace_stderr ace_low "
    "ace_high "
    "spread off_support method rows"
).split()
"""Columns of the CSV: the entries of a curve in the JSON, one value a row."""


class Folder:
    """The folder of the results, which is made when there is something to put into it.

    As a context it refuses before the work what could not be written after it, and leaves no part of a file behind.

    Args:
        path: the folder.
        formats: what will be written.
        read: files that are read, and so must not be written over.

    Raises:
        ValueError: if the folder is a file, cannot be written to, or a file that is read lies where one is written.
    """

    def __init__(self, path: Path, formats: Sequence[str], read: Sequence[str]) -> None:
        self.path, self.names = Path(os.path.abspath(path)), [NAMES[one] for one in formats]
        self._part = self.path.parent / f".{self.path.name}.{os.getpid()}.part"
        self._new: list[Path] = []
        for name in self.names:
            if any(_same(self.path / name, one) for one in read):
                raise ValueError(
                    f"--out must not lead over a file that is read, got {str(self.path / name)!r}; name another folder"
                )
            if (self.path / name).is_dir():
                raise ValueError(f"--out must be free for {name}, got a folder of that name; name another folder")

    def __enter__(self) -> Folder:
        try:
            if self.path.exists() and not self.path.is_dir():
                raise NotADirectoryError(f"{self.path} is a file")
            self._new = [one for one in (self.path, *self.path.parents) if not one.exists()]
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._part.mkdir()
            if self.path.is_dir():  # a folder of others may lie in one that can be written to
                _try_to_write(self.path)
        except OSError as error:
            self._clear()
            why = error.strerror or str(error)
            raise ValueError(
                f"--out must be a folder that can be written to, got {str(self.path)!r} ({why}); name another"
            ) from error
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self._clear()
        if kind is not None:
            for folder in self._new:  # folders that were made for nothing
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _clear(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True)

    def write(self, files: Mapping[str, str]) -> None:
        """Write the texts by format: first beside the folder, then, when all are whole, each to its name in one step.

        Raises:
            ValueError: if the disk is full, or the folder was taken away meanwhile.
        """
        try:
            for kind, text in files.items():
                (self._part / NAMES[kind]).write_text(text, encoding="utf-8", newline="")
            self.path.mkdir(parents=True, exist_ok=True)
            for kind in files:
                os.replace(self._part / NAMES[kind], self.path / NAMES[kind])
        except OSError as error:
            raise ValueError(f"{self.path} must take the results, got {error.strerror or error}; make room") from error


def _same(one: Path, other: str) -> bool:
    """Return whether two paths lead to the same file, which need not be there."""
    return os.path.realpath(one) == os.path.realpath(other)


def _try_to_write(folder: Path) -> None:
    trial = folder / f".effects.{os.getpid()}.trial"
    trial.touch()
    trial.unlink()


def sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(content: Mapping[str, Any]) -> str:
    """Return the content with its format; unknown numbers are null, all others are written to the last digit."""
    return json.dumps({"format": FORMAT, **content}, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def csv_text(content: Mapping[str, Any]) -> str:
    """Return all curves as one long table, a row for each value; unknown numbers are empty.

    Example:
        >>> curve = {name: "a" if name in ("feature", "target", "method") else 1 for name in COLUMNS}
        >>> curve |= {name: [0.1, None] for name in COLUMNS if name not in ("feature", "target", "method", "rows")}
        >>> assert csv_text({"curves": [curve]}).splitlines()[2] == "a,a" + "," * 12 + "a,1"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for curve in content["curves"]:
        columns = [curve[name] if isinstance(curve[name], list) else None for name in COLUMNS]
        for place in range(len(curve["value"])):
            row = [
                curve[name] if column is None else column[place] for name, column in zip(COLUMNS, columns, strict=True)
            ]
            writer.writerow(["" if one is None else repr(one) if isinstance(one, float) else one for one in row])
    return text.getvalue()


def said_of(path: str) -> str:
    """Return the name of a file as it is shown."""
    return plain_text(os.path.basename(path))
