"""The site map for search engines: every page with its address, once the book has one."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from tools.address import HOST, current, is_public

LEFT_OUT = {"search.html", "genindex.html", "py-modindex.html"}


def base_address(root: Path) -> str | None:
    """Return where the pages stand, with a slash at the end, or None where nobody knows.

    It is ``html_baseurl`` of ``_config.yml``; without it, where GitHub serves the pages of the repository.
    """
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    given = config.get("sphinx", {}).get("config", {}).get("html_baseurl")
    if given or "repository" not in config:
        return f"{given.rstrip('/')}/" if given else None
    address = current(root)
    owner, name = address.removeprefix(HOST).split("/")
    return f"https://{owner.lower()}.github.io/{name}/" if is_public(address) else None


def map_site(site: Path, root: Path) -> Path | None:
    """Write ``sitemap.xml`` beside the pages and return its path; write none where the book has no address.

    Args:
        site: folder of the HTML pages.
        root: the book's folder.
    """
    base = base_address(root)
    if base is None:
        return None
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)
    lines = [f"<url><loc>{escape(base + name)}</loc></url>" for name in names if name not in LEFT_OUT]
    head = ['<?xml version="1.0" encoding="UTF-8"?>', '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">']
    path = site / "sitemap.xml"
    path.write_text("\n".join([*head, *lines, "</urlset>", ""]), encoding="utf-8")
    return path
