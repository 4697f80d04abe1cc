"""Citations by author and year, as the pages print them."""

from __future__ import annotations

from pathlib import Path


def read_citations(path: Path) -> dict[str, tuple[str, str]]:
    """Return authors and year of each entry of a bibliography, by key; three authors or more are one and "et al.".

    Args:
        path: a BibTeX file.
    """
    from pybtex.database import parse_file

    found = {}
    for key, entry in parse_file(str(path)).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(str(part) for part in [*p.rich_prelast_names, *p.rich_last_names]) for p in people]
        if len(names) > 2 or "others" in names:
            said = f"{names[0]} et al."
        else:
            said = " and ".join(names) or entry.fields.get("title", key)
        found[key] = said, entry.fields.get("year", "")
    return found


def cite(citations: dict[str, tuple[str, str]], keys: str, *, within: bool) -> str:
    """Return a citation: "Author (year)" within a sentence, "(Author, year)" beside one.

    Args:
        citations: authors and year by key.
        keys: keys with commas between them.
        within: whether the authors are part of the sentence.

    Raises:
        KeyError: if the bibliography lacks a key.

    Example:
        >>> cite({"a": ("Hume", "1748")}, "a", within=True)
        'Hume (1748)'
    """
    entries = [citations[key.strip()] for key in keys.split(",")]
    if within:
        return ", ".join(f"{who} ({year})" for who, year in entries)
    return "(" + "; ".join(f"{who}, {year}" for who, year in entries) + ")"
