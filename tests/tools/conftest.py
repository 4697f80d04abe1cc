"""A tiny book, and a pretended papermill that counts what it is asked to execute."""

import os
import re

import pytest
from tiny_book import write, write_book

from tools import execute
from tools.chapters import Sources, executed_path


@pytest.fixture
def root(tmp_path):
    return write_book(tmp_path)


class Counted:
    """A book whose chapters are not executed but counted; ``failing`` names those that raise."""

    def __init__(self, root):
        self.root, self.asked, self.failing = root, [], set()

    def execute_notebook(self, path, *, root):
        self.asked.append(path.stem)
        for name in re.findall(r'data_file\(\\"([^"]+)\\"\)', path.read_text()):
            with open(os.environ["ACELIB_NOTE_READS"], "a") as notes:
                notes.write(f"{name}\n")
        if path.stem in self.failing:
            raise execute.ChapterError(f"{path.stem}: cell 3 raised")
        write(executed_path(path, root), path.read_text())

    def run(self):
        """Execute what changed and return the chapters that were asked for and the failures."""
        before = len(self.asked)
        failures = execute.execute_all(Sources(self.root), jobs=1)
        return self.asked[before:], failures


@pytest.fixture
def counted(root, monkeypatch):
    book = Counted(root)
    monkeypatch.setattr(execute, "execute_notebook", book.execute_notebook)
    return book
