"""The pictures of the stored chapters, noted by their hashes in ``data/pictures.json``.

nbval compares no picture, since pixels differ between machines. ``make refresh`` therefore notes the SHA-256 of every
picture that it stores, frames of players included, by chapter and cell, and a test compares what is stored with that
note: a picture that was exchanged, edited or cut since is found, without drawing it again.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.chapters import ROOT, find_chapters, read_notebook

NOTE = "data/pictures.json"
FRAME = re.compile(r"<img\b[^>]*?\bsrc=\"(?:data:image/png;base64,)?([^\"]*)\"")


def pictures(notebook: Any) -> dict[str, list[str]]:
    """Return the base64 text of every picture in a notebook's outputs, in order, by the id of its cell.

    Args:
        notebook: the notebook; ``<img>`` in its HTML outputs are pictures too, such as a player's frames.

    Example:
        >>> cell = {"id": "a", "outputs": [{"data": {"text/html": '<img src="data:image/png;base64,iVBO">'}}]}
        >>> assert pictures({"cells": [cell]}) == {"a": ["iVBO"]}
    """
    found = {}
    for cell in notebook["cells"]:
        texts = []
        for out in cell.get("outputs", ()):
            data = out.get("data", {})
            texts += ["".join(data["image/png"]).strip()] if "image/png" in data else []
            texts += FRAME.findall("".join(data.get("text/html", "")))
        if texts:
            found[cell["id"]] = texts
    return found


def undecodable(notebook: Any) -> list[str]:
    """Return a sentence for every picture of a notebook that is no whole PNG."""
    from PIL import Image

    found = []
    for cell, texts in pictures(notebook).items():
        for number, text in enumerate(texts):
            try:
                with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError) as error:  # PIL raises each of them, depending on the damage
                found.append(f"picture {number} of cell {cell} is no whole PNG ({' '.join(str(error).split())[:80]})")
    return found


def hashes(notebook: Any) -> dict[str, list[str]]:
    """Return the SHA-256 of the text of every picture, in order, by the id of its cell."""
    return {
        cell: [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        for cell, texts in pictures(notebook).items()
    }


def note_pictures(root: Path = ROOT) -> Path:
    """Write the hashes of all stored pictures into ``data/pictures.json`` and return its path."""
    from acelib.lab.home import write_whole

    content = {path.stem: hashes(read_notebook(path)) for path in find_chapters(root)}
    text = json.dumps(content, indent=1) + "\n"
    return write_whole(root / NOTE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def exchanged(notebook: Any, noted: Mapping[str, list[str]]) -> list[str]:
    """Return a sentence for every cell of a notebook whose pictures are not those that were noted.

    Args:
        notebook: the stored chapter.
        noted: its hashes by cell, from ``data/pictures.json``.
    """
    now, found = hashes(notebook), []
    for cell in sorted(now.keys() | noted.keys()):
        before, after = noted.get(cell, []), now.get(cell, [])
        if before != after:
            places = [i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]]
            what = f"other pictures at {places}" if len(before) == len(after) else f"{len(after)} of {len(before)}"
            found.append(f"cell {cell} has {what}")
    return found
