"""The coverage of the error bars: how often intervals that promise 95 % hold a truth that is known.

Every file ``tests/coverage/cover_*.py`` is one subject: a public quantity with an error bar. It offers ``quantity``
(its name in a table) and ``cases()``, a dictionary from a world, in words, to a ``Case``. ``python -m tools.coverage``
draws new data for every case again and again, counts, and writes ``data/coverage.json`` and the tables made from it.
"""
