"""Chapters in plain Markdown, which Jupyter and Colab show as the pages do: no MyST is left in them."""

from tools.plain.book import Book
from tools.plain.notebook import plain_notebook

__all__ = ["Book", "plain_notebook"]
