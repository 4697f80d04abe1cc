"""The reader of imports against lists written by hand."""

import pytest
from tiny_book import write

from tools.imports import Import, Modules, imports

SOURCE = """
from __future__ import annotations
import importlib
from typing import TYPE_CHECKING
import numpy.linalg as la
from . import a, b as c
from .d import e
from .. import f
from ..g.h import *
if TYPE_CHECKING:
    from never import counted
else:
    import other
class K:
    def method(self):
        import lazy
        importlib.import_module("named.module")
        importlib.import_module(unknown)
top = importlib.import_module(".near")
"""


def test_every_form_of_import_is_found():
    found = {(name, one.lazy) for one in imports(SOURCE, "p.q") for name in one.candidates[-1:]}
    assert found - {("__future__.annotations", False), ("importlib", False), ("typing.TYPE_CHECKING", False)} == {
        ("numpy.linalg", False),
        ("p.q.a", False),
        ("p.q.b", False),
        ("p.q.d.e", False),
        ("p.f", False),
        ("p.g.h", False),
        ("other", False),
        ("lazy", True),
        ("named.module", True),
        ("p.q.near", False),
    }


def test_an_import_says_where_it_stands():
    assert imports("x = 1\nfrom a.b import c") == [Import("a.b", "c", 2, False)]
    assert imports("x = 1\nfrom a.b import c")[0].candidates == ("a.b", "a.b.c")
    with pytest.raises(SyntaxError):
        imports("%magic")


def test_the_closure_holds_packages_and_follows_circles(tmp_path):
    for name, text in {
        "p/__init__.py": "import q\n",
        "p/a.py": "from p import b\n",
        "p/b.py": "from . import a\n",
        "p/c.py": "",
        "p/deep/__init__.py": "from ..c import x\n",
        "p/deep/d.py": "",
        "q.py": "",
    }.items():
        write(tmp_path / name, text)
    modules = Modules(tmp_path, "p")

    def names(source):
        return [path.relative_to(tmp_path).as_posix() for path in modules.reached([source])]

    assert names("import q") == []
    assert names("import p") == ["p/__init__.py"]
    assert names("from p.a import b") == ["p/__init__.py", "p/a.py", "p/b.py"]
    assert names("import p.deep.d") == ["p/__init__.py", "p/c.py", "p/deep/__init__.py", "p/deep/d.py"]
    assert len(names("%magic")) == 6
    assert modules.file("p.deep") == tmp_path / "p/deep/__init__.py" and modules.file("p.none") is None
