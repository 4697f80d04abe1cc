"""Archives of exported programs, read without unpickling: only tensors, and a graph of known operators, get in.

``torch.export.load`` of torch 2.13 is no safe reader. It unpickles the sample inputs with ``weights_only=True`` and,
where that fails, once more without; tensors marked ``use_pickle`` and custom objects it unpickles without at all;
compiled parts (AOTInductor) are machine code. The graph is JSON, but the expressions of sizes and the guards in it are
evaluated as Python, names become parts of generated code, and an operator is whatever can be reached from ``torch`` by
attributes. So the archive is read here and written anew in memory, with raw tensors, an empty record of sample inputs,
and a graph whose strings have each been looked at; what is left over is refused, and torch loads the new one.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import torch

_NAME = re.compile(r"[\w.+\-]*", re.ASCII)
_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!(from_file|save|warn|_print|as_tensor)\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond|while_loop|scan|map_impl)"
    r"|torch\.sym_(int|float|max|min|sqrt|not|sum|ite)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|abs|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(ceil|floor|trunc|sqrt|pow|log)",
    re.ASCII,
)
_FUNCTIONS = set(
    """Symbol Integer Float Rational Add Mul Pow Mod Max Min Abs Eq Ne Lt Le Gt Ge And Or Not Equality Unequality
    StrictLessThan LessThan StrictGreaterThan GreaterThan ceiling floor oo int_oo FloorDiv ModularIndexing Where
    PythonMod CleanDiv CeilToInt FloorToInt CeilDiv PowByNatural FloatPow FloatTrueDiv IntTrueDiv TruncToFloat
    TruncToInt RoundToInt RoundDecimal ToFloat Identity IsNonOverlappingAndDenseIndicator L args""".split()
)
_SYMBOL = re.compile(r"[a-z]\d+", re.ASCII)
_METHODS = {"size", "stride", "storage_offset", "dim", "ndim", "shape"}
_SYNTAX = (
    ast.Expression,
    ast.BoolOp,
    ast.Compare,
    ast.BinOp,
    ast.UnaryOp,
    ast.Call,
    ast.keyword,
    ast.Subscript,
    ast.Tuple,
    ast.Load,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
_CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_MODEL = "models/model.json"
_RESAVE = "save it by torch.export.save of torch 2.9 or newer, from a module of tensors alone"


class Unsafe(ValueError):
    """An archive that only a reader which executes what it reads could open; the message says what it holds."""


def readable_archive(path: str) -> io.BytesIO:
    """Return the archive of an exported program without anything that its reader would execute.

    Args:
        path: a file of ``torch.export.save``.

    Raises:
        Unsafe: if it holds pickles, machine code, several programs, or a graph with more than known operators.
        RuntimeError: if it is no such archive.
    """
    try:
        from torch.export.pt2_archive._package import PT2ArchiveReader, PT2ArchiveWriter
    except ImportError:
        raise Unsafe(f"a reader that needs torch 2.9 or newer, got torch {torch.__version__}; update it") from None
    with PT2ArchiveReader(path) as reader:
        names = reader.get_file_names()
        programs = [name for name in names if name.startswith("models/")]
        if programs != [_MODEL]:
            raise Unsafe(f"one program, named model, got {programs or 'none'}; {_RESAVE}")
        if any(name.startswith("data/aotinductor/") for name in names):
            raise Unsafe("no machine code, got a part compiled by AOTInductor; save the exported program itself")
        program = json.loads(reader.read_string(_MODEL))
        clean = dict(_cleaned(program))
        new = io.BytesIO()
        with PT2ArchiveWriter(new) as writer:
            writer.write_string(_MODEL, json.dumps(clean))
            writer.write_bytes("data/sample_inputs/model.pt", b"")
            for kind, prefix in (("weights", "weight_"), ("constants", "tensor_")):
                config = f"data/{kind}/model_{kind}_config.json"
                if config not in names:
                    raise Unsafe(f"{kind} as raw tensors, got a file of an older torch, which pickled them; {_RESAVE}")
                text = reader.read_string(config)
                writer.write_string(config, text)
                for record in sorted(set(_records(json.loads(text), prefix))):
                    writer.write_bytes(f"data/{kind}/{record}", reader.read_bytes(f"data/{kind}/{record}"))
    new.seek(0)
    return new


def _records(config: Any, prefix: str) -> Iterator[str]:
    """Yield the names of the raw tensors of a table of contents."""
    for name, entry in config["config"].items():
        record = entry["path_name"]
        if entry["use_pickle"] or not re.fullmatch(prefix + r"\d+", record):
            raise Unsafe(f"raw tensors alone, got {name!r} as a pickle, which may execute code; {_RESAVE}")
        _check_name(name, "a tensor's name")
        yield record


def _cleaned(program: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a program with each string checked, without remarks on where its nodes came from."""
    for key, value in program.items():
        if key == "guards_code":
            for guard in value:
                _check_expression(guard, "a guard")
            yield key, value
        else:
            yield key, _checked(value, key)


def _checked(value: Any, key: str) -> Any:
    """Return a part of the JSON of a program, remarks left out."""
    if isinstance(value, dict):
        for name in value:
            _check_name(name, "an entry")
        if "as_custom_obj" in value:
            raise Unsafe(f"tensors and numbers alone, got a custom object; {_RESAVE}")
        left_out = {"metadata", "treespec_namedtuple_fields"}
        return {name: {} if name in left_out else _checked(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_checked(one, key) for one in value]
    if not isinstance(value, str):
        return value
    if key in ("target", "as_operator"):
        if not _OPERATORS.fullmatch(value):
            raise Unsafe(f"operators of torch that compute tensors alone, got {value!r}; export a network without it")
    elif key == "expr_str":
        _check_expression(value, "the size of a tensor")
    elif key in ("in_spec", "out_spec"):
        if value:
            _check_containers(json.loads(value)[1])
    elif key not in ("as_string", "as_strings"):  # arguments such as an equation of einsum stay texts
        _check_name(value, f"the entry {key!r}")
    return value


def _check_name(text: str, what: str) -> None:
    """Raise where a name would be more than a name in code that is generated from it."""
    if not _NAME.fullmatch(text):
        raise Unsafe(f"plain names, got {text[:80]!r} as {what}; {_RESAVE}")


def _check_containers(spec: dict[str, Any]) -> None:
    """Raise where inputs or outputs are held by other classes than tuples, lists and dictionaries."""
    if spec["type"] not in _CONTAINERS:
        raise Unsafe(
            f"tensors in tuples, lists and dictionaries, got {spec['type']!r}; export a module that returns its tensor"
        )
    waiting = [json.loads(spec["context"])] if spec["context"] is not None else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            raise Unsafe(f"tensors in plain tuples, lists and dictionaries, got {str(one)[:80]}; {_RESAVE}")
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            _check_name(one, "a key")
    for child in spec["children_spec"]:
        _check_containers(child)


def _check_expression(text: str, what: str) -> None:
    """Raise where an expression of sizes, which torch evaluates as Python, is more than arithmetic."""
    try:
        parts = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Unsafe(f"sizes as arithmetic, got {text[:80]!r} as {what}; {_RESAVE}") from None
    for part in parts:
        plain = isinstance(part, _SYNTAX)
        if isinstance(part, ast.Name):
            plain = part.id in _FUNCTIONS or _SYMBOL.fullmatch(part.id) is not None
        elif isinstance(part, ast.Attribute):
            plain = part.attr in _METHODS
        elif isinstance(part, ast.Constant):
            plain = not isinstance(part.value, str) or _NAME.fullmatch(part.value) is not None
        if not plain:
            raise Unsafe(f"sizes as arithmetic, got {text[:80]!r} as {what}; {_RESAVE}")
