"""What a chapter needs on Colab: packages that are missing there, versions that are too old, and a word on the GPU.

The set-up cell calls ``equip`` once the book has been fetched. What Colab brings and a running session may have loaded
already is never replaced, only judged by the lower bounds of ``pyproject.toml``; the rest is installed as
``constraints.txt`` pins it. Nothing but the standard library is imported before that.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = "torch numpy scipy matplotlib networkx tqdm pandas".split()
INSTALLED = "scikit-learn captum pooch safetensors zuko SALib quantus".split()
THEIRS = {
    **{"joblib": "1.4", "cloudpickle": "0", "narwhals": "2.0.1", "threadpoolctl": "3.5"},  # scikit-learn's
    **{"platformdirs": "2.5", "multiprocess": "0", "dill": "0", "cachetools": "0"},  # pooch's, SALib's, Quantus's
}
"""What those need in turn and pip is told not to look for, with the lowest version that they take."""


def equip(root: Path = ROOT) -> None:
    """Install what a chapter needs and lacks, and print one sentence on it and one on the GPU.

    Args:
        root: the book's folder.

    Raises:
        SystemExit: in one sentence, if a package that is not replaced is too old, or pip fails.
    """
    bounds = lower_bounds(root)
    old = [name for name in KEPT if too_old(name, bounds.get(name, "0"))]
    if old:
        wanted = ", ".join(f"{name} {bounds[name]} or later (here: {_found(name) or 'none'})" for name in old)
        raise SystemExit(f"This chapter needs {wanted}; choose a newer runtime, or run the book at home.")
    missing = [name for name in (*INSTALLED, *THEIRS) if too_old(name, (THEIRS | bounds).get(name, "0"))]
    if missing:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-c", str(root / "constraints.txt")]
        run = subprocess.run([*command, *missing], capture_output=True, text=True)
        if run.returncode:
            said = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SystemExit(f"pip could not install {', '.join(missing)}: {said}")
    print(f"The book is ready; installed: {', '.join(missing) or 'nothing'}.")
    print(device_sentence())


def lower_bounds(root: Path = ROOT) -> dict[str, str]:
    """Return the lowest version of each package that ``pyproject.toml`` allows, by name.

    Args:
        root: the folder with ``pyproject.toml``.

    Example:
        >>> assert lower_bounds()["torch"] == "2.5"
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    return dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(needs), re.MULTILINE))


def too_old(package: str, bound: str) -> bool:
    """Return whether a package is not installed, or in a version below the bound.

    Args:
        package: its name on the index.
        bound: the lowest version that will do, such as ``"1.7"``.

    Example:
        >>> assert not too_old("torch", "2.5") and too_old("torch", "999") and too_old("no-such-package", "0")
    """
    found = _found(package)
    return found is None or _parts(found) < _parts(bound)


def device_sentence() -> str:
    """Return what a chapter does with the GPU of this session, or without one."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return (
            f'GPU: {name}. With profile = "full" chapters 8, 9 and 10 compute on it; a quick run, and every other '
            "chapter, computes on the CPU, as the book's own numbers were made."
        )
    return "No GPU in this session, and none is needed: a quick run computes on the CPU, as the book's own did."


def _found(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2.13.0+cpu`` gives (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[a-z+]", version)[0]))
