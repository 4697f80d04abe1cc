"""A tiny chapter with three exercises of chapter 1, whose judges it borrows; and the chapters of the book."""

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.chapters import ROOT
from tools.exercises import HEADING, IMPORT
from tools.stored import KERNELSPEC

EVERY = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))

STARTERS = {
    "ex-ab-third": 'answer = {"IG": ..., "ACE": ...}',
    "ex-ab-interaction": "answer = ...",
    "ex-ab-bent": 'answer = {\n    "credit": ...,  # the function\n    "price first": ...,\n    "area first": ...,\n}',
}
LEVELS = {"ex-ab-third": "easy", "ex-ab-interaction": "medium", "ex-ab-bent": "hard"}
WORDS = {
    "ex-ab-third": "The mean price along the path is twenty-six. The population has another one.",
    "ex-ab-interaction": "Only one of the boxes has a spread.",
    "ex-ab-bent": "The mean of $t^p$ is $1/(p + 1)$.\n\nThe rest is arithmetic.",
}
SOLUTIONS = {
    "ex-ab-third": ['answer = {"IG": (area - 2) * 26, "ACE": (area - 5) * 50}'],
    "ex-ab-interaction": ['answer = "second"'],
    "ex-ab-bent": [
        "def bent(a, b, p):\n    return (a - 2) * (2 + (b - 2) / (p + 1))",
        'far = float("inf")\nanswer = {\n    "credit": bent,\n    "price first": bent(3, 100, 0),\n'
        '    "area first": bent(3, 100, far),\n}',
    ],
}


def exercise_cells(label):
    """Return the cells of one exercise, from its question to the end of its solution."""
    *first, last = SOLUTIONS[label]
    return [
        new_markdown_cell(f"```{{exercise-start}} A title\n:label: {label}\n```\n\nHow many? *({LEVELS[label]})*"),
        new_markdown_cell("```{exercise-end}\n```"),
        new_code_cell(f'{STARTERS[label]}\ncheck("{label}", answer)', metadata={"tags": ["exercise"]}),
        new_markdown_cell(f"```{{solution-start}} {label}\n:class: dropdown\n```\n\n{WORDS[label]}"),
        *[new_code_cell(source) for source in first],
        new_code_cell(f'{last}\nassert check("{label}", answer)'),
        new_markdown_cell("```{solution-end}\n```"),
    ]


def tiny_chapter():
    """Return the chapter as a notebook."""
    cells = [new_markdown_cell("# Title"), new_code_cell("area = 3"), new_markdown_cell(HEADING), new_code_cell(IMPORT)]
    for label in STARTERS:
        cells += exercise_cells(label)
    cells += [new_markdown_cell("## Key ideas"), new_code_cell("area + 1")]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})
