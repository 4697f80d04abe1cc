"""A progress bar that costs nothing where it is not shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def progress_bar(items: Iterable[Item], name: str, show: bool, total: int | None = None) -> Iterable[Item]:
    """Return ``items``, wrapped in a tqdm bar of this name where ``show`` is true; ``total``: how many they are."""
    if not show:
        return items
    from tqdm.auto import tqdm  # not loaded unless a bar is shown

    return tqdm(items, desc=name, total=total, leave=False)
