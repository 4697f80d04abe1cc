"""The imports of Python sources, read without executing them, and the modules that they reach.

An import inside a function counts like one at the top; one under ``if TYPE_CHECKING:`` never runs and does not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One imported module or, from a package, one imported name: ``module`` in full, ``name`` or None, line, place."""

    module: str
    name: str | None
    line: int
    lazy: bool

    @property
    def candidates(self) -> tuple[str, ...]:
        """The modules that may be loaded: the one that is named and, for ``from a import b``, also ``a.b``."""
        return (self.module,) if self.name is None else (self.module, f"{self.module}.{self.name}")


def imports(source: str, package: str = "") -> list[Import]:
    """Return the imports of one source text, ``importlib.import_module("a.b")`` included, in the order of their lines.

    Args:
        source: Python code.
        package: the package that relative imports start from.

    Raises:
        SyntaxError: if the source is not Python.

    Example:
        >>> found = imports("from . import b\\ndef f():\\n    import c.d", "a")
        >>> assert [(i.candidates, i.lazy) for i in found] == [(("a", "a.b"), False), (("c.d",), True)]
    """
    return sorted(_walk(ast.parse(source), package, lazy=False), key=lambda found: found.line)


def _walk(node: ast.AST, package: str, *, lazy: bool) -> Iterator[Import]:
    yield from _of(node, package, lazy)
    type_checking = isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"
    lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in node.orelse if type_checking else ast.iter_child_nodes(node):
        yield from _walk(child, package, lazy=lazy)


def _of(node: ast.AST, package: str, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, None, node.lineno, lazy)
    elif isinstance(node, ast.ImportFrom):
        module = _absolute(node.module or "", node.level, package)
        for alias in node.names:
            yield Import(module, None if alias.name == "*" else alias.name, node.lineno, lazy)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            level = len(first.value) - len(first.value.lstrip("."))
            yield Import(_absolute(first.value[level:], level, package), None, node.lineno, lazy)


def _absolute(module: str, level: int, package: str) -> str:
    if not level:
        return module
    parts = package.split(".")[: len(package.split(".")) - (level - 1)]
    return ".".join([*parts, module] if module else parts)


class Modules:
    """The modules of one top-level package below a folder, and which of them some code reaches.

    Args:
        root: the folder that holds the package.
        prefix: the dotted name under which modules are followed, such as ``acelib.lab``; what lies elsewhere is not.
        memory: a file that keeps what was read, by the hash of each source, so that an unchanged file is not parsed
            again; None keeps nothing. It can be deleted at any time.
    """

    def __init__(self, root: Path, prefix: str, memory: Path | None = None) -> None:
        self.root, self.prefix, self._memory = root, prefix, memory
        self._known: dict[str, list[str]] = {}
        self._used: dict[str, list[str]] = {}
        self._reader = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()  # another reader may find other imports
        if memory is not None and memory.exists():
            try:
                self._known = json.loads(memory.read_text(encoding="utf-8"))
            except ValueError:  # cut short: it is written anew
                pass

    def file(self, name: str) -> Path | None:
        """Return the file of a module or the ``__init__.py`` of a package; None where there is neither."""
        place = self.root.joinpath(*name.split("."))
        return next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()), None)

    def reached(self, sources: Iterable[str]) -> list[Path]:
        """Return the files, sorted, that are loaded when these sources run: the closure of their imports.

        A package counts with the other files of its folder that are not Python, since its code may read them. Where a
        source is no Python, every module counts.
        """
        try:
            waiting = [name for source in sources for name in self._candidates(source, "")]
        except SyntaxError:
            return sorted(p for p in self.root.joinpath(*self.prefix.split(".")).rglob("*") if _counts(p))
        found: dict[Path, None] = {}
        seen: set[str] = set()
        while waiting:
            parts = waiting.pop().split(".")
            for name in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):  # a module loads its packages first
                if name in seen or not f"{name}.".startswith(f"{self.prefix}."):
                    continue
                seen.add(name)
                file = self.file(name)
                if file is None or file in found:
                    continue
                package = name if file.name == "__init__.py" else name.rpartition(".")[0]
                found[file] = None
                if file.name == "__init__.py":
                    found.update(dict.fromkeys(p for p in file.parent.iterdir() if p.suffix != ".py" and _counts(p)))
                waiting += self._candidates(file.read_text(encoding="utf-8"), package)
        return sorted(found)

    def remember(self) -> None:
        """Write what was used so far to the file named as memory, if there is one and something is new."""
        if self._memory is not None and not self._used.keys() <= self._known.keys():
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            self._memory.write_text(json.dumps(self._used), encoding="utf-8")
            self._known = dict(self._used)

    def _candidates(self, source: str, package: str) -> list[str]:
        key = hashlib.sha256(f"{self._reader}\n{package}\n{source}".encode()).hexdigest()
        if key not in self._used:
            top = f"{self.prefix.split('.')[0]}."
            self._used[key] = (
                self._known[key]
                if key in self._known
                else sorted(
                    {
                        name
                        for found in imports(source, package)
                        for name in found.candidates
                        if f"{name}.".startswith(top)
                    }
                )
            )
        return self._used[key]


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
