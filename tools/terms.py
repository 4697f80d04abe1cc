"""A Sphinx extension: links to terms of the glossary carry the definition, which a browser shows under the mouse.

By keyboard the link leads to the same sentence on the glossary's page. No script is needed for either.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform


def definitions(env: BuildEnvironment) -> dict[str, str]:
    """Return the text of every definition by the anchor of its term."""
    pages = {page for (kind, _), (page, _) in env.get_domain("std").data["objects"].items() if kind == "term"}
    found = {}
    for page in sorted(pages):
        for item in env.get_doctree(page).findall(nodes.definition_list_item):
            text = " ".join(part.astext() for part in item.findall(nodes.definition))
            found |= {anchor: text for term in item.findall(nodes.term) for anchor in term["ids"]}
    return found


class TermTitles(SphinxPostTransform):
    """Give links to terms of the glossary their definition as a title, once the links are resolved."""

    default_priority = 300

    def run(self, **_: Any) -> None:
        """Set the title of every link whose anchor is a term's."""
        links = [link for link in self.document.findall(nodes.reference) if "#term-" in link.get("refuri", "")]
        known = definitions(self.env) if links else {}
        for link in links:
            anchor = link["refuri"].partition("#")[2]
            if anchor in known:
                link["reftitle"] = known[anchor]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_post_transform(TermTitles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
