"""The rules that hold the house together, read from the sources: one test for each sentence of CONTRIBUTING.md.

Imports are read by ``tools.imports``: those inside functions count, those under ``if TYPE_CHECKING:`` do not.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tools.chapters import ROOT
from tools.imports import imports

BASE = (
    "_checks _devices _directional _draws _entrance _fingerprint _intervals _maps _models _modules _names "
    "_off_support _optional _paper _parts _pool _process _saved _shipping _tables _waiting _warnings"
)
COLUMN = "inputs jets curvature expectation regressors results attribution quantus".split()
BESIDE = {"recurrent": "inputs", "paths": "", "intrinsic": "", "interactions": "inputs expectation", "plots": ""}
BESIDE |= {"mediation": "inputs jets curvature expectation intrinsic"}
BESIDE |= {"adapters": "inputs expectation regressors results attribution quantus intrinsic mediation plots"}
BESIDE |= {"command": "inputs expectation regressors results attribution plots adapters", "__main__": "command"}
BESIDE |= {"explore": "inputs expectation regressors results attribution paths intrinsic plots"}
ON_DEMAND = {"plots", "explore", "adapters"}  # what ``.plot()``, ``.explore()`` and ``.to_shap()`` import when called
MAY_IMPORT = {
    **dict.fromkeys(BASE.split(), set(BASE.split())),
    **{room: {*BASE.split(), *COLUMN[:height]} for height, room in enumerate(COLUMN)},
    **{room: {*BASE.split(), *others.split()} for room, others in BESIDE.items()},
    "": {*BASE.split(), *COLUMN, "recurrent", "mediation", "interactions", "adapters"},
}
MAY_IMPORT["command"].add("")  # it says the version
"""Room of the method (folder or file of ``acelib``; "" is ``acelib/__init__.py``) to the rooms below it."""

PUBLIC = {
    "acelib": "ApproximationWarning Attribution AverageCausalEffect Categories CausalRegressor CausalRegressors "
    "CausalTable Check ConstantFeatureWarning Expectation ExtrapolationWarning FeedbackSequences FiniteSet "
    "InputDistribution Interval Intervention LatentPrior SplineRegressor SupportWarning UnsupportedOperation "
    "as_model effect_surface half_trace interventional_expectation jets quantus_explain regional_effects",
    "acelib.recurrent": "FeedbackSequences Recurrent TimeLag Unfolded time_lag unfold",
    "acelib.paths": "ExplanatoryGraph Fidelity NodeMaps Reliability Repair TreatmentEffects class_map "
    "correctly_classified explanatory_graph extrema fidelity masked node_maps reliability repair trace_layers "
    "treatment_effects",
    "acelib.mediation": "CausalGraphInputs TotalAndDirect total_and_direct",
    "acelib.intrinsic": "CausalGraph CausalModel EmpiricalNoise FiniteNoise FlowModel Independence "
    "IntrinsicContributions LinearModel SobolIndices StructuralModel correlation_test intrinsic_contributions "
    "network_as_model rank_test sobol_indices",
    "acelib.jets": "Jet MissingRule check collapsed composite constant linear multilinear pointwise propagate register "
    "supported",
    "acelib.plots": "BAND COLORS LINESTYLES OFF_SUPPORT STYLE label_line own_axes plot_attribution plot_expectation "
    "plot_regressor plot_regressors shade_off_support style use_style warn_off_support",
    "acelib.explore": "Control Explorer Player View explore_attribution explore_contributions explore_decoder "
    "explore_expectation explore_graphs explore_regressors explore_sobol player",
    "acelib.adapters": "EffectDisplay as_model from_dowhy load_network read_problem",
    "acelib.regressors": "CausalRegressor CausalTable FAMILIES Regressor SplineRegressor regressor_from_dict",
    "acelib.lab.datasets": "load_dashlink",
}
"""Names that users, chapters and saved files rely on: nothing leaves this list."""

HIDDEN = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
VERBS = set(
    """accept accumulate add adjust allocate allow answer append apply arrange ask assemble assert assign attribute
    average begin bind bootstrap bound break bring build cache call cast centre change check choose clip close collapse
    collect combine compare complete compute concatenate convert copy count cover create cut decide declare decode
    decompose decorate define delete derive describe detach differentiate discard display divide do download draw drop
    embed enable encode end enlarge ensure enter estimate evaluate execute expand explain extend extract fetch fill
    filter find finish fit flatten flip fold follow forget format freeze gather generate get give go group guard hand
    hash hide hold identify ignore impute include initialise insert install integrate intercept interpolate intervene
    invert iterate join judge keep label lay learn leave let lift limit line list load locate look lower make map mark
    mask match mean measure merge mix move multiply name necessitate normalise note number obtain offer open order pad
    pair parse pass perform permute pick pin place plot pool position predict prepare present print produce project
    propagate prove publish pull push put quote raise rank read rebuild record reduce refine refit refresh refuse
    register reject relabel remember remove rename render reorder repair repeat replace replay report resample reshape
    resize resolve restore resume return rewrite roll round route run sample save say scale score search see seed select
    send separate set shade share shift show shuffle shrink sign simulate skip slice smooth solve sort split stack start
    state step stop store subtract sum summarise swap switch take tell test time touch trace track train transform
    translate transpose trim try turn unfold unpack update use validate verify wait walk warn weight widen wrap write
    yield zero""".split()
)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for folder in ("acelib", "tools") for path in sorted((ROOT / folder).rglob("*.py"))}
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))


@cache
def loaded(module: str) -> list[tuple[str, bool, int]]:
    """The modules of ours that one of them imports, whether inside a function, and in which line."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for one in imports(path.read_text(encoding="utf-8"), package):
        names = [name for name in one.candidates if name in FILES]
        found += [(names[-1], one.lazy, one.line)] if names else []
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def code_cells(path: Path, *, visible: bool = False) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not (visible and HIDDEN & set(cell["metadata"].get("tags", [])))
    ]


def none(found) -> None:
    """Fail with one line for each thing that was found."""
    found = list(found)
    assert not found, "\n".join(["", *found])


each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


# ---------------------------------------------------------------- imports


def test_the_method_imports_downwards():
    """Only rooms below; ``.plot()`` and ``.explore()`` import pictures inside the method, when they are called."""
    upwards = []
    for module in FILES:
        if module.split(".")[0] != "acelib" or room(module) == "lab":
            continue
        for target, lazy, line in loaded(module):
            assert room(module) in MAY_IMPORT, f"{module} is a new room: give it a line in the table"
            allowed = target.startswith("acelib") and room(target) in {room(module), *MAY_IMPORT[room(module)]}
            if not allowed and not (lazy and room(target) in ON_DEMAND):
                upwards.append(f"{FILES[module].relative_to(ROOT)}:{line} imports {target}")
    none(upwards)


def test_the_package_knows_no_press_and_the_method_no_laboratory():
    known = []
    for module in FILES:
        if not module.startswith("acelib"):
            continue
        for target, _, line in loaded(module):
            if target.startswith("tools") or (room(target) == "lab" and room(module) != "lab"):
                known.append(f"{module}:{line} imports {target}")
    none(known)


def test_shared_files_of_the_laboratory_know_no_experiment():
    """A file beside the experiments serves several; the packages of claims, data sets and training do so too."""
    shared = {"claims", "datasets", "training", *(path.stem for path in (ROOT / "acelib/lab").glob("*.py"))}
    none(
        f"{module}:{line} imports {target}"
        for module in FILES
        if module.startswith("acelib.lab.") and module.split(".")[2] in shared
        for target, _, line in loaded(module)
        if target.startswith("acelib.lab.") and target.split(".")[2] not in shared
    )


@pytest.mark.parametrize("lazily", [False, True], ids=["at import time", "with the imports inside functions"])
def test_no_module_imports_itself_by_a_detour(lazily):
    """The one exception: ``.plot()`` and ``.explore()`` import inside functions; pictures may know what is below."""
    graph = {
        module: {
            target
            for target, lazy, _ in loaded(module)
            if target != module and (not lazy or (lazily and room(target) not in ON_DEMAND))
        }
        for module in FILES
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_importing_acelib_is_light():
    """A fresh process; torch itself loads plain tqdm; the bars of ``tqdm.auto`` are imported where one is shown."""
    heavy = {"matplotlib", "pandas", "scipy", "tqdm.auto", "IPython", "sklearn", "zuko", "quantus", "ipywidgets"}
    program = f"import sys; from acelib import *; print(sorted({heavy!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_acelib_alone_imports_nothing():
    """Neither torch nor a room of the package: each name is imported when it is first asked for, and its room with it.

    So the time of an import does not grow with the package.
    """
    program = (
        "import sys; before = set(sys.modules); import acelib; new = set(sys.modules) - before; "
        "print(sorted(m for m in new if m.partition('.')[0] in ('acelib', 'torch', 'numpy'))); "
        "acelib.FiniteSet; print('acelib.inputs' in sys.modules, 'acelib.attribution' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["['acelib']", "True False"]


def test_acelib_offers_each_public_name_and_room():
    """As what type checkers are told, by name, by star and by ``dir``; an unknown name is an AttributeError."""
    package = importlib.import_module("acelib")
    told = {
        alias.name: node.module
        for node in ast.walk(parsed(ROOT / "acelib/__init__.py"))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert set(told) == set(package.__all__) <= set(dir(package))
    for name, home in told.items():
        module = importlib.import_module(f"acelib.{home or name}")
        assert getattr(package, name) is (getattr(module, name) if home else module)
    rooms = {room(module) for module in FILES if module.startswith("acelib.")} - {"lab"}
    for name in (r for r in rooms if not r.startswith("_")):
        assert getattr(package, name) is importlib.import_module(f"acelib.{name}")
    assert not hasattr(package, "no_such_name")


# ---------------------------------------------------------------- names


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def members(tree: ast.Module) -> set[str]:
    """The private members of a file's classes: methods, fields, and what is assigned to an attribute."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
                names.add(getattr(inner, "name", ""))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if private(name)}


def imported_names(tree: ast.Module) -> set[str]:
    """The names under which a file has what it imported from us."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    ours = [n for n in nodes if getattr(n, "level", 0) or ast.unparse(n).split()[1].startswith(("acelib", "tools"))]
    return {alias.asname or alias.name for node in ours for alias in node.names}


def test_no_private_name_is_imported():
    """Neither from a module nor from a package; modules with such a name are for ``acelib`` alone."""
    taken = []
    sources = [(path, path.read_text(encoding="utf-8"), name) for name, path in FILES.items()]
    sources += [(path, cell, "") for path in CHAPTERS for cell in code_cells(path)]
    for path, source, name in sources:
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for one in imports(source, package):
            ours = one.module.split(".")[0] in ("acelib", "tools")
            is_module = one.candidates[-1] in FILES
            if ours and one.name and private(one.name) and not is_module:
                taken.append(f"{path.relative_to(ROOT)}:{one.line} imports {one.module}.{one.name}")
            module = one.candidates[-1] if is_module else one.module
            inside = name.startswith("acelib") and module.startswith("acelib")
            if ours and not inside and any(private(part) for part in module.split(".")):
                taken.append(f"{path.relative_to(ROOT)}:{one.line} imports the module {module}")
    none(taken)


def test_no_private_attribute_of_another_files_object_is_used():
    """``self`` and ``super()`` may reach what a base class left for its subclasses."""
    everywhere = defaultdict(set)
    for path in FILES.values():
        for name in members(parsed(path)):
            everywhere[name].add(path)
    used = []
    for path in FILES.values():
        for node in ast.walk(parsed(path)):
            if not (isinstance(node, ast.Attribute) and private(node.attr)):
                continue
            holder = ast.unparse(node.value)
            own = holder in ("self", "cls", "super()") or path in everywhere[node.attr]
            if holder in imported_names(parsed(path)) or (everywhere[node.attr] and not own):
                used.append(f"{path.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}")
    none(used)


def test_no_file_is_named_like_what_its_package_offers():
    """``from a import b`` must not depend on what was imported before."""
    doubtful = []
    for name, path in FILES.items():
        if path.name != "__init__.py":
            continue
        offered = {node.name for node in parsed(path).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module != name:
                offered |= {alias.asname or alias.name for alias in node.names}
        doubtful += [f"{name}.{other}" for other in sorted(offered) if f"{name}.{other}" in FILES]
    none(doubtful)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_stay(name):
    module = importlib.import_module(name)
    assert sorted(set(PUBLIC[name].split()) - set(module.__all__)) == []
    assert [other for other in module.__all__ if not hasattr(module, other)] == []


# ---------------------------------------------------------------- files


def test_files_are_short_and_the_laboratory_has_few_entries():
    paths = [path for folder in ("acelib", "tools", "tests", ".ci") for path in (ROOT / folder).rglob("*.py")]
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    none(f"{path} has {lines} lines" for path, lines in lengths.items() if lines > 400)
    assert len([path for path in (ROOT / "acelib/lab").iterdir() if path.name != "__pycache__"]) <= 26


def test_nothing_is_kept_from_the_formatter_and_nothing_frozen_is_written_to():
    forbidden = re.compile("fmt" + r":\s*(skip|off)|object\." + "__setattr__")
    sources = [(path, path.read_text(encoding="utf-8")) for path in FILES.values()]
    sources += [(path, path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py")]
    sources += [(path, cell) for path in CHAPTERS for cell in code_cells(path)]
    none(f"{path.relative_to(ROOT)} has {hit[0]}" for path, text in sources for hit in forbidden.finditer(text))


def test_the_first_line_of_a_docstring_is_an_imperative():
    """ "Return the …", "Draw …": of functions and methods. Properties and classes are noun phrases.

    A verb that is missing in the list may be added to it.
    """
    odd = []
    paths = [*FILES.values(), ROOT / "conftest.py", ROOT / ".ci/loopback.py"]
    for path in paths:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            text = ast.get_docstring(node)
            if text is None or re.search(r"property|\.setter", decorators):
                continue
            first = text.split()[0].rstrip(",.:;")
            if not first[:1].isupper() or first.lower() not in VERBS:
                odd.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {text.splitlines()[0][:60]}")
    none(odd)


def test_bars_in_docstrings_are_quoted():
    """The reference takes |x| for a substitution; ``|x|`` is what is meant."""
    bars = re.compile(r"(?<![\w|`])\|(?=[^\s|])([^|]*[^\s|])\|(?![\w|`])")
    found = []
    for path in FILES.values():
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                text = re.sub(r"``.*?``|^ *>>> .*?(\n\n|\Z)", "", ast.get_docstring(node) or "", flags=re.S | re.M)
                found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in bars.finditer(text)]
    none(found)


# ---------------------------------------------------------------- chapters


@each_chapter
def test_code_that_readers_see_fits_the_page_and_the_eye(path):
    """80 characters a line, half the cells at most 10 lines, none more than 30; blank lines do not count."""
    cells = code_cells(path, visible=True)
    wide = [line for cell in cells for line in cell.splitlines() if len(line) > 80]
    none(wide)
    lengths = [sum(bool(line.strip()) for line in cell.splitlines()) for cell in cells]
    assert statistics.median(lengths) <= 10, sorted(lengths)
    none(cell for cell, lines in zip(cells, lengths, strict=True) if lines > 30)


def only_records(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.For, ast.With, ast.If)):
        return all(only_records(inner) for inner in statement.body)
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) in ("record", "record_all", "claim")


@each_chapter
def test_cells_that_only_record_are_hidden(path):
    cells = code_cells(path, visible=True)
    parts = [ast.parse(cell).body for cell in cells]
    none(cell for cell, body in zip(cells, parts, strict=True) if body and all(map(only_records, body)))
