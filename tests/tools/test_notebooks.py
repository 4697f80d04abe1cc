"""Chapters for Jupyter and Colab: a tiny book against texts written by hand, and every chapter of the real one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tiny_book import CONFIG, write

from acelib.lab.ledger import record_item, render_record
from tools import notebooks
from tools.chapters import ROOT, find_chapters
from tools.plain import Book, plain_notebook

RAW = re.compile(
    r"\{[a-z][\w:.-]*\}`|^ *(?:`{3,}|:{3,})\{|^ *:[a-z-]+:(?: |$)|\$\$ *\([\w:.-]+\)|^\([\w:.-]+\)=|^(?:% |\+\+\+)",
    re.MULTILINE,
)
BIB = """@article{hume, author={Hume, David}, title={T}, year={1748}}
@article{three, author={van de Berg, A. and B{\\'e}e, B. and Sea, C.}, title={T}, year={2001}}
@article{two, author={Ape, A. and Bee, B.}, title={T}, year={2002}}
"""
FIGURE = {"figure": {"name": "fig-a", "caption": "It rises by {glue:text}`t-half:.1f`."}}
FIRST = """# One *way*

See {numref}`fig-a`, {numref}`panel %s <fig-a>`, {eq}`eq-a`, {ref}`sec-a`, {prf:ref}`thm-a`, {doc}`next <02-two>`.
{cite:p}`hume,three` and {cite:t}`two` say {glue:text}`t-half:.2f` and {glue:text}`02-two.ipynb::t-flag:s`, in
`{glue:text}` as code, $a[1](x)$ as math, {term}`logits <logit>`. [Two](02-two.ipynb), [rows](ledger.md#rows),
[web](https://example.org/a).

(sec-a)=
## Where it *stands*

$$
y = x
$$ (eq-a)

```{prf:theorem} Of one
:label: thm-a

Let $x +
y$ be:

$$
x
$$ (eq-b)

- small, or
- large, by {cite:t}`hume`.
```

```{prf:proof}
See {eq}`eq-a`.
```

```{table} The rows of {glue:text}`t-half:.1f`.
:name: tab-a

|a|b|
|---|---|
|1|{glue:text}`t-half:.3f`|
```

::::{admonition} Mind
:class: dropdown
:::{note}
the gap
:::
::::

```python
x = "{glue:text}`not-touched`"
```"""
EXERCISE = """```{exercise-start} A *third* one
:label: ex-a
```

How many?"""
SOLUTION = """```{solution-start} ex-a
:class: dropdown
```

Three."""
AFTER = "So $3$.\n\n```{solution-end}\n```\n\nOn we go."
ANSWER = 'answer = ...  # yours\ncheck("ex-a", answer)'


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A book of two chapters in which everything occurs that the converter knows."""
    write(tmp_path / "_config.yml", CONFIG + "bibtex_bibfiles: [book/r.bib]\n")
    write(tmp_path / "_toc.yml", "format: jb-book\nroot: book/01-one\nchapters:\n  - file: book/02-two\n")
    write(tmp_path / "book/r.bib", BIB)
    half = new_output("display_data", data=render_record(record_item("t-half", 0.5, tol=1e-3)))
    flag = new_output("display_data", data=render_record(record_item("t-flag", True)))
    hidden = {"cellView": "form", "jupyter": {"source_hidden": True}}
    cells = [
        new_markdown_cell(FIRST),
        new_code_cell("1", outputs=[half], execution_count=1, metadata={"tags": ["remove-input"]}),
        new_code_cell("draw()", metadata={"mystnb": FIGURE}),
        new_markdown_cell(EXERCISE),
        new_markdown_cell("```{exercise-end}\n```"),
        new_code_cell(ANSWER),
        new_markdown_cell(SOLUTION),
        new_code_cell("3", metadata=hidden),
        new_markdown_cell(AFTER),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book/01-one.ipynb")
    second = [new_markdown_cell("# Two"), new_code_cell("2", outputs=[flag])]
    nbformat.write(new_notebook(cells=second), tmp_path / "book/02-two.ipynb")
    return tmp_path


EXPECTED = [
    """# 1. One *way*

See Figure 1.1, panel 1.1, (1.1), Where it *stands*, Theorem 1.1, [next](02-two.ipynb).
(Hume, 1748; van de Berg et al., 2001) and Ape and Bee (2002) say 0.50 and True, in
`{glue:text}` as code, $a[1](x)$ as math, logits. [Two](02-two.ipynb), rows,
[web](https://example.org/a).

## Where it *stands*

$$
y = x \\tag{1.1}
$$

> **Theorem 1.1 (Of one).**
>
> Let $x + y$ be:
>
> $$ x \\tag{1.2} $$
>
> - small, or
> - large, by Hume (1748).

> *Proof.*
>
> See (1.1).
>
> ∎

**Table 1.1.** The rows of 0.5.

|a|b|
|---|---|
|1|0.500|

<details>
<summary><b>Mind</b></summary>

> **Note.**
>
> the gap

</details>

```python
x = "{glue:text}`not-touched`"
```""",
    "**Figure 1.1.** It rises by 0.5.",
    "**Exercise 1.1 (A *third* one).**\n\nHow many?",
    "<details>\n<summary><b>Solution to Exercise 1.1 (A third one)</b></summary>\n\nThree.\n\n</details>",
    "<details>\n<summary><b>Solution to Exercise 1.1 (A third one), continued</b></summary>\n\nSo $3$.\n\n"
    "</details>\n\nOn we go.",
]


def prose(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_form_becomes_plain_words(tiny):
    """Reference: the texts written out by hand; a cell of which nothing is left is gone."""
    found = prose(plain_notebook(Book.read(tiny), "01-one"))
    assert found[1].startswith("*Chapter 1 of the book, for Jupyter and Colab.")
    assert [found[0], *found[2:]] == EXPECTED


def test_references_lead_to_the_published_pages_where_there_are_any(tiny):
    """The anchors are those of the pages; links between chapters lead to pages too, which Colab can follow."""
    write(tiny / "_config.yml", CONFIG + "bibtex_bibfiles: [book/r.bib]\nhtml:\n  baseurl: https://example.org/b/\n")
    text = "\n".join(prose(plain_notebook(Book.read(tiny), "01-one")))
    page = "https://example.org/b/book"
    for link in (
        f"[Figure 1.1]({page}/01-one.html#fig-a)",
        f"[(1.1)]({page}/01-one.html#equation-eq-a)",
        f"[Where it *stands*]({page}/01-one.html#sec-a)",
        f"[Theorem 1.1]({page}/01-one.html#thm-a)",
        f"[Ape and Bee (2002)]({page}/bibliography.html)",
        f"[logits]({page}/glossary.html#term-logit)",
        f"[Two]({page}/02-two.html)",
        f"[rows]({page}/ledger.html#rows)",
        "[web](https://example.org/a)",
        f"It can also be read [as a page]({page}/01-one.html).",
    ):
        assert link in text, link


def test_code_stays_and_outputs_go(tiny):
    """Sources are the same; what the pages hide is folded; an exercise's own cell stays open."""
    before = code(nbformat.read(tiny / "book/01-one.ipynb", 4))
    after = code(plain_notebook(Book.read(tiny), "01-one"))
    assert [cell.source for cell in after] == [cell.source for cell in before]
    assert all(not cell.outputs and cell.execution_count is None for cell in after)
    folded = [cell.metadata.get("cellView") == "form" and cell.metadata["jupyter"]["source_hidden"] for cell in after]
    assert folded == [True, False, False, True]
    assert after[2] == before[2] and after[2].source == ANSWER


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{numref}`fig-lost`", "got 'fig-lost'"),
        ("{glue:text}`lost:.1f`", "got 'lost'"),
        ("{cite}`lost`", "got lost"),
        ("{odd}`x`", "got 'odd'"),
        ("```{odd} x\n```", "got 'odd'"),
        ("```{note} x\n", "must be closed"),
    ],
)
def test_what_cannot_be_put_into_words_is_an_error(tiny, text, said, capsys):
    """Nothing raw slips through: an unknown role or directive, or a reference to nothing, stops the run."""
    path = tiny / "book/02-two.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell(f"# Two\n\n{text}")]), path)
    (tiny / "book/01-one.ipynb").unlink()
    write(tiny / "_toc.yml", "format: jb-book\nroot: book/02-two\n")
    assert notebooks.main(["--to", str(tiny / "out")], tiny) == 1
    assert said in capsys.readouterr().err


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_branch_holds_the_notebooks_alone(tiny, capsys, monkeypatch):
    """Committed beside the branch that is checked out, whose files and index stay; a second call changes nothing."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    git(tiny, "init", "-q", "-b", "main")
    git(tiny, "add", "_toc.yml")
    git(tiny, "commit", "-q", "-m", "one")
    status = git(tiny, "status", "--short")
    out = ["--to", str(tiny / "_build/notebooks"), "--branch", "colab"]
    (tiny / ".gitignore").write_text("_build/\n")
    assert notebooks.main(out, tiny) == 0
    assert "branch colab: changed; git push origin colab" in capsys.readouterr().out
    assert git(tiny, "ls-tree", "-r", "--name-only", "colab").splitlines() == ["book/01-one.ipynb", "book/02-two.ipynb"]
    written = (tiny / "_build/notebooks/book/01-one.ipynb").read_text().strip()
    assert git(tiny, "show", "colab:book/01-one.ipynb") == written
    (tiny / ".gitignore").unlink()
    assert notebooks.main([*out[:1], str(tiny / ".git/out"), *out[2:]], tiny) == 0
    assert "branch colab: unchanged" in capsys.readouterr().out
    assert git(tiny, "status", "--short").replace("?? _build/\n", "") == status
    assert notebooks.main([*out[:3], "main"], tiny) == 1
    assert "BRANCH must be one that is not checked out, got 'main'" in capsys.readouterr().err
    git(tiny, "branch", "other")
    assert notebooks.main([*out[:3], "other"], tiny) == 1
    assert "BRANCH must hold notebooks alone, got 'other' with _toc.yml" in capsys.readouterr().err


# ---------------------------------------------------------------- the real chapters


@pytest.fixture(scope="module")
def book() -> Book:
    return Book.read(ROOT)


@pytest.fixture(scope="module")
def converted(book) -> dict[str, nbformat.NotebookNode]:
    return {chapter: plain_notebook(book, chapter) for chapter in book.chapters}


def test_the_count_finds_the_raw_forms_of_the_sources(book):
    """The count that must be zero below is far from zero in what the chapters are made from."""
    counts = [len(RAW.findall("\n".join(prose(notebook)))) for notebook in book.chapters.values()]
    assert min(counts) > 20 and sum(counts) > 1000


def test_no_raw_markup_is_left(converted):
    for chapter, notebook in converted.items():
        left = RAW.findall("\n".join(prose(notebook)))
        assert not left, f"{chapter}: {left[:5]}"


def test_notebooks_are_valid_and_their_code_is_the_chapters(book, converted):
    for chapter, notebook in converted.items():
        nbformat.validate(notebook)
        assert [cell.source for cell in code(notebook)] == [cell.source for cell in code(book.chapters[chapter])]
        assert not any(cell.outputs or cell.execution_count for cell in code(notebook))
        assert all(cell.source.strip() for cell in notebook.cells)


def test_every_link_leads_somewhere(converted):
    """To a notebook beside it or to an address on the web."""
    beside = {f"{path.stem}.ipynb" for path in find_chapters(ROOT)}
    for chapter, notebook in converted.items():
        text = re.sub(r"`[^`]*`|\$[^$]*\$", "", "\n".join(prose(notebook)))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            assert target in beside or re.match(r"https?://[\w.-]+(/|$)", target), f"{chapter}: {target}"


def test_folds_and_quotations_are_whole(converted):
    for chapter, notebook in converted.items():
        for source in prose(notebook):
            assert source.count("<details>") == source.count("</details>") == source.count("<summary>"), chapter


def test_formulas_in_quotations_stay_on_one_line(converted):
    """Jupyter takes formulas out before it reads the quotation's signs, which would stand in the formula."""
    quoted = 0
    for notebook in converted.values():
        for line in re.findall(r"^>.*$", "\n".join(prose(notebook)), re.MULTILINE):
            dollars = re.sub(r"`[^`]*`", "", line).count("$")
            quoted += dollars > 0
            assert dollars % 2 == 0, line
    assert quoted > 10


def test_every_exercise_and_solution_has_its_number(book, converted):
    for chapter, notebook in converted.items():
        text, number = "\n".join(prose(notebook)), book.number(chapter)
        asked = re.findall(r"^\*\*Exercise ([\d.]+)", text, re.MULTILINE)
        solved = re.findall(r"<b>Solution to Exercise ([\d.]+)[^<,]*(?:, [^<]*)?</b>", text)
        assert asked == [f"{number}.{i}" for i in range(1, len(asked) + 1)] and len(asked) >= 3
        assert list(dict.fromkeys(solved)) == asked
