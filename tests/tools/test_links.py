"""The links that lead out: found in pages and texts, asked once each, and told apart. Nobody is asked here."""

from __future__ import annotations

import io
import urllib.error

from tools import links


def test_addresses_are_found_once_with_the_files_that_name_them(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a class="x" href="https://a.org/1?x=1&amp;y=2">a</a><a href="b.html">b</a><link href="https://no.org">'
        '<a href="https://a.org/1?x=1&amp;y=2#part">a</a><a href="http://127.0.0.1:8">c</a>'
    )
    (tmp_path / "b.html").write_text("<a href='https://a.org/1?x=1&amp;y=2'>a</a>")
    text = tmp_path / "README.md"
    text.write_text("See <https://b.org/c>, or [d](https://d.org/e). `https://f.org`\n```\nhttps://g.org\n```\n")
    assert links.addresses(tmp_path, [text]) == {
        "https://a.org/1?x=1&y=2": ["a.html", "b.html"],
        "https://b.org/c": ["README.md"],
        "https://d.org/e": ["README.md"],
    }


def test_an_answer_is_told_from_a_refusal_and_from_silence(monkeypatch):
    def says(what):
        def ask(request, timeout):
            assert "book" in request.get_header("User-agent")
            if isinstance(what, Exception):
                raise what
            return io.BytesIO()

        monkeypatch.setattr(links.urllib.request, "urlopen", ask)
        return links.answer("https://a.org")

    def error(code):
        return urllib.error.HTTPError("https://a.org", code, "", {}, None)

    assert says(None) == ""
    assert says(error(404)) == "gone: 404" and says(error(410)) == "gone: 410"
    assert says(error(403)) == "refused: 403" and says(error(503)) == "refused: 503"
    assert says(TimeoutError("slow")) == "no answer: slow"


def test_only_what_is_gone_fails(tmp_path, monkeypatch, capsys):
    answers = {"https://a.org": "", "https://b.org": "refused: 403"}
    found = {url: ["p.html"] for url in answers}
    assert links.check(found, answers.get) == 0
    said = capsys.readouterr().out
    assert (
        said == "refused: 403  https://b.org  (p.html)\n2 addresses, 1 did not answer as they should, 0 of them gone\n"
    )
    assert links.check(found, lambda url: "no answer: no network") == 2, "nothing was checked"
    assert links.check({}) == 0
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/p.html").write_text('<a href="https://a.org">a</a>')
    monkeypatch.setattr(links, "check", lambda found: int("https://a.org" in found))
    assert links.main(["pages"], tmp_path) == 1
    (tmp_path / "pages/p.html").write_text("")
    assert links.main(["pages"], tmp_path) == 0
