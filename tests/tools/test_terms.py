"""Links to the glossary carry the definition: a tiny book rendered by Sphinx; the reference is what was written."""

from __future__ import annotations

import io
import re

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from tools.chapters import ROOT

WANTED = (
    "do()|structural causal model|baseline|support|spread|covariate|cubature|nats|logit|AUC|IROF|flow|Sobol' index|"
    "d-separation|control variate|average causal effect|interventional expectation|causal regressor|feedback|latent"
)


def test_a_link_to_a_term_has_its_sentence_and_others_have_none(tmp_path):
    (tmp_path / "index.rst").write_text(
        "Home\n====\n\nSee :term:`Nat <nat>`, :term:`bit`, :ref:`here <spot>` and :doc:`words`.\n\n"
        ".. _spot:\n\nSpot\n----\n"
    )
    (tmp_path / "words.rst").write_text(
        ":orphan:\n\nWords\n=====\n\n.. glossary::\n\n   nat\n     The natural *unit* of <information>.\n\n   bit\n"
        "   binary digit\n     A yes\n     or a no.\n"
    )
    with docutils_namespace():
        warned = io.StringIO()
        options = dict(confoverrides={"extensions": ["tools.terms"]}, status=None, warning=warned)
        Sphinx(tmp_path, None, tmp_path / "out", tmp_path / "trees", "html", **options).build()
    assert warned.getvalue() == ""
    page = BeautifulSoup((tmp_path / "out/index.html").read_text(encoding="utf-8"), "html.parser")
    titles = {link.get_text(): link.get("title") for link in page.select('[role="main"] p a.internal')}
    sentences = {"Nat": "The natural unit of <information>.", "bit": "A yes or a no."}
    assert {name: " ".join((titles[name] or "").split()) for name in sentences} == sentences
    assert titles["here"] is None and titles["Words"] is None


def test_the_glossary_has_the_words_of_the_book_each_with_a_sentence():
    text = (ROOT / "book/glossary.md").read_text()
    entries = re.findall(r"((?:^\S.*\n)+)^  (\S.*)$", text.split("```{glossary}")[1], re.M)
    terms = [term for names, _ in entries for term in names.splitlines() if not term.startswith((":", "```"))]
    assert len(terms) == len(set(terms)) and [name for name in WANTED.split("|") if name not in terms] == []
    assert [said for _, said in entries if not (said[0].isupper() or said[0].isdigit()) or not said.endswith(".")] == []
