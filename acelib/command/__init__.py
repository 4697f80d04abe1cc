"""The command line, for the commonest job: from a network's file and a table to the effects of its columns.

``python -m acelib effects model.pt2 table.csv`` writes curves with 95 % bands as JSON, as CSV and as a report to read.
"""

from .entry import main

__all__ = ["main"]
