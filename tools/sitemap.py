"""The site map for search engines: every page with its address, once the book has one."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from tools.address import published

LEFT_OUT = {"search.html", "genindex.html", "py-modindex.html"}


def map_site(site: Path, root: Path) -> Path | None:
    """Write ``sitemap.xml`` beside the pages and return its path; write none where the book has no address.

    Args:
        site: folder of the HTML pages.
        root: the book's folder.
    """
    base = published(root)
    if not base:
        return None
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)
    lines = [f"<url><loc>{escape(base + name)}</loc></url>" for name in names if name not in LEFT_OUT]
    head = ['<?xml version="1.0" encoding="UTF-8"?>', '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">']
    path = site / "sitemap.xml"
    path.write_text("\n".join([*head, *lines, "</urlset>", ""]), encoding="utf-8")
    return path
