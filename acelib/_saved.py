"""How results are kept on disk: JSON that names its format, renamed into place when whole, never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def save_json(path: str | os.PathLike, content: Mapping[str, Any], *, format: Any) -> Path:
    """Write ``content`` and its format to a JSON file (to a temporary name first) and return its path."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps({**content, "format": format}))
    os.replace(temporary, path)
    return path


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
