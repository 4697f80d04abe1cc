"""A book of two chapters with a method, a laboratory and data, small enough to be executed in a test."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.stored import KERNELSPEC

CONFIG = """title: Tiny
author: A
only_build_toc_files: true
execute:
  execute_notebooks: 'off'
"""
TOC = """format: jb-book
root: book/index
parts:
  - caption: One
    chapters:
      - file: book/02-two
      - file: book/01-one
  - caption: Back
    chapters:
      - file: book/ledger
      - file: book/status
"""
SAW = """import os
print(os.environ['OMP_NUM_THREADS'], os.path.basename(os.getcwd()))
def never_called():
    from acelib.lab import iris"""
READ = """from acelib.lab.home import data_file
number = data_file("number.txt").read_text()
found = data_file("absent.txt").exists(), sorted(path.name for path in data_file("ledger").glob("*"))
judged = 't-a'
print(number, profile, seed, *found)"""
FILES = {
    "_config.yml": CONFIG,
    "_toc.yml": TOC,
    "constraints.txt": "torch==2.13.0\n",
    "acelib/__init__.py": "",
    "acelib/method.py": "x = 1\n",
    "acelib/lab/__init__.py": "",
    "acelib/lab/home.py": "",
    "acelib/lab/shared.py": "",
    "acelib/lab/iris/__init__.py": "from .experiment import run\n",
    "acelib/lab/iris/experiment.py": "def run():\n    from acelib.lab import shared\n",
    "acelib/lab/iris/style.css": "",
    "acelib/lab/flights/__init__.py": "from acelib.lab.iris import run\n",
    "data/number.txt": "seven",
    "data/benchmarks.json": "{}",
    "book/index.md": "# Home\n\n[One](01-one.ipynb)\n",
    "book/_static/book.css": "",
    "tools/execute.py": "from tools import chapters\n",
    "tools/chapters.py": "",
    "tools/pages.py": "from tools.ledger_page import x\n",
    "tools/ledger_page.py": "",
    "tools/bench.py": "",
}


def write(path: Path, text: str) -> None:
    """Write a text file into a folder that is made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_notebook(path: Path, *sources: str, title: str = "Title") -> None:
    """Write a chapter: a heading, the parameters cell, a skipped cell, and the given code cells."""
    cells = [
        new_markdown_cell(f"Preface\n\n# {title}"),
        new_code_cell('profile: str = "quick"  # quick or full\nseed: int = 0', metadata={"tags": ["parameters"]}),
        new_code_cell("1 / 0", metadata={"tags": ["skip-execution"]}),
        *[new_code_cell(source) for source in sources],
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC}), path)


def write_book(root: Path) -> Path:
    """Write the whole book and return its folder."""
    for name, text in FILES.items():
        write(root / name, text)
    write_notebook(root / "book/01-one.ipynb", READ, title="The *first*")
    write_notebook(root / "book/02-two.ipynb", SAW)
    return root


def texts(path: Path) -> list[str]:
    """Return what each cell of an executed notebook printed."""
    found = nbformat.read(path, 4)
    return ["".join(out.get("text", "") for out in cell.get("outputs", [])) for cell in found.cells]
