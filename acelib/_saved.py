"""Files on disk: every file is written to a temporary name and renamed when whole; results are JSON with a format.

Nothing is pickled, and no reader ever meets half a file: the name of the target appears in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_whole(target: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Write a file through ``write(temporary)``, rename it to ``target`` when whole, and return its path.

    An error or a killed process leaves what was at ``target`` as it was.

    Args:
        target: the final path; its folder is made where missing.
        write: writes the complete file to the path that it is given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_whole(f"{folder}/a.txt", lambda temporary: temporary.write_text("whole"))
        ...     assert [found.name for found in Path(folder).iterdir()] == ["a.txt"] and path.read_text() == "whole"
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")  # two processes never share a name
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def save_json(path: str | os.PathLike, content: Mapping[str, Any], *, format: Any) -> Path:
    """Write ``content`` and its format to a JSON file and return its path."""
    return write_whole(path, lambda temporary: temporary.write_text(json.dumps({**content, "format": format})))


def load_json(path: str | os.PathLike, *, format: Any, what: str, remedy: str) -> dict[str, Any]:
    """Return the content that ``save_json`` wrote under this format.

    Args:
        path: the file.
        format: that it must have.
        what: it should hold, e.g. "saved regressors", for the message.
        remedy: what to do otherwise.

    Raises:
        ValueError: if the file is missing, is no JSON or has another format.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as {what} ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.pop("format", None) != format:
        raise ValueError(f"{path} does not hold {what} (format {format})")
    return content
