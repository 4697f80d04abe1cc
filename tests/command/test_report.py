"""Is the report safe with any name, and whole by itself? Names are hostile; the page is read back by a parser."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from network_files import exported

BeautifulSoup = pytest.importorskip("bs4", reason="Beautiful Soup reads the pages").BeautifulSoup

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    'it\'s "quoted", with a comma & more',
    "größe 身長 Ωμέγα 😀",
    "price in $ of $x^2$ \\frac",
    "a very long name " * 12,
    "a very long name " * 12 + "indeed",
    "line\nbreak\tand\x1b[31mcolour",
    "=SUM(A1:A9)",
    "</style></svg>",
]


class Weighted(torch.nn.Module):
    """A product of each input with the mean of all, so that no curve is a straight line of weight 0."""

    def forward(self, x):
        y = (x * torch.arange(1, x.shape[1] + 1, dtype=x.dtype)).sum(1) + x[:, 0] * x[:, 1]
        return torch.stack([y, -y.tanh()], dim=1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Page, JSON and folder of a run whose names of columns, outputs and files are hostile."""
    from acelib.command import main

    folder = tmp_path_factory.mktemp("<b>hostile & 'folder'")
    exported(Weighted(), len(NAMES), folder / "<i>net.pt2")
    rows = np.random.default_rng(0).random((80, len(NAMES)))
    pd.DataFrame(rows, columns=NAMES).to_csv(folder / "table & <u>.csv", index=False)
    words = ["effects", str(folder / "<i>net.pt2"), str(folder / "table & <u>.csv"), "--out", str(folder / "out")]
    assert main([*words, "--outputs", '<b onclick="x()">,"a, b"', "--values", "5", "--quiet"]) == 0
    page = (folder / "out/report.html").read_text(encoding="utf-8")
    return page, json.loads((folder / "out/effects.json").read_text(encoding="utf-8")), folder


def test_names_of_users_are_text_and_nothing_else(hostile):
    """The parser finds no element that a name would have made, and no attribute that runs."""
    soup = BeautifulSoup(hostile[0], "html.parser")
    assert soup.find(["script", "iframe", "object", "link", "b", "i", "u"]) is None
    assert not [tag for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert len(soup.find_all("style")) == 1
    headers = [th.get_text() for th in soup.select("tbody th[scope=row]")]
    assert "<script>alert(1)</script>" in headers and "=SUM(A1:A9)" in headers
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", hostile[0].replace("\n", ""))


def test_names_are_whole_in_the_numbers(hostile):
    _, content, folder = hostile
    assert [feature["name"] for feature in content["features"]] == NAMES
    frame = pd.read_csv(folder / "out/effects.csv")
    assert list(dict.fromkeys(frame["feature"])) == NAMES
    assert list(dict.fromkeys(frame["target"])) == ['<b onclick="x()">', "a, b"]


def test_the_page_loads_nothing(hostile):
    """Every address is data of the page itself or a place in it; the policy forbids the rest."""
    soup = BeautifulSoup(hostile[0], "html.parser")
    addresses = [tag[name] for tag in soup.find_all(True) for name in ("src", "href") if tag.get(name)]
    assert addresses and all(re.match(r"data:image/svg\+xml;base64,|#", one) for one in addresses)
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'") and "script" not in policy
    assert "url(" not in soup.style.string and "@import" not in soup.style.string


def test_pictures_have_words_and_pages_an_order(hostile):
    soup = BeautifulSoup(hostile[0], "html.parser")
    assert soup.html["lang"] == "en" and soup.title.string.startswith("Average causal effects")
    pictures = soup.find_all("img")
    assert len(pictures) >= 2 * (1 + 4)
    for one in pictures:
        assert len(one["alt"]) > 30 and one.find_parent("figure").figcaption.get_text(strip=True)
    levels = [int(tag.name[1]) for tag in soup.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert all(table.caption and table.find_parent("div")["tabindex"] == "0" for table in soup.find_all("table"))
    anchors = {a["href"][1:] for a in soup.select("nav a")}
    assert anchors <= {tag["id"] for tag in soup.find_all(id=True)}
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_what_to_trust_says_it(hostile):
    page, content, _ = hostile
    text = BeautifulSoup(page, "html.parser").get_text(" ")
    for part in (
        "The network, not the world",
        "the others keep the values of their rows",
        "another training",
        "most rows stay",
    ):
        assert part in text
    for one in content["warnings"]:
        if one["concerns"] == "effects":
            assert " ".join(one["text"].split())[:60] in " ".join(text.split())
    assert content["model"]["sha256"] in text and content["answer"][-1] in text


def test_the_same_run_draws_the_same_page(run, made, tmp_path):
    pages = []
    for out in ("one", "two"):
        run(made / "iris.pt2", made / "numbers.csv", "--values", "3", "--target", "0", "--quiet", out=out)
        page = (tmp_path / out / "report.html").read_text(encoding="utf-8")
        pages.append(re.findall(r"base64,[^\"]*", page))
    assert pages[0] == pages[1] and len(pages[0]) == 5


@pytest.mark.parametrize("columns", [1, 2, 30])
def test_tables_of_any_width_get_a_page(run, tmp_path, columns):
    """Of many curves the largest are drawn, and the page says so."""
    exported(torch.nn.Linear(columns, 2).double(), columns, tmp_path / "net.pt2")
    rows = pd.DataFrame(np.random.default_rng(0).random((40, columns)))
    rows.columns = [f"c{i}" for i in range(columns)]
    rows.to_csv(tmp_path / "t.csv", index=False)
    code, said, content = run(tmp_path / "net.pt2", tmp_path / "t.csv", "--values", "3", "--quiet")
    assert code == 0, said.err
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 * (1 + min(columns, 12)) and ("The 12 largest of 30" in page) == (columns == 30)
