"""The frame: what is pinned, what is declared, which commands there are. The reference is the written rule."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tools.chapters import ROOT

PRETENCE = """#!/bin/sh
echo "$@" >> asked
if [ -f fail ]; then case "$*" in *"$(cat fail)"*) exit 1;; esac; fi
"""
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9._!]+)")
NORMAL = re.compile(r"[-_.]+")


def normal(name):
    return NORMAL.sub("-", name).lower()


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    odd = [line for line in wanted if not PIN.fullmatch(line)]
    assert odd == [], "only name==version: no local version, index, file or editable line"
    return {normal(line.split("==")[0]): line.split("==")[1] for line in wanted}


@pytest.fixture(scope="module")
def package():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_torch_is_pinned_without_a_build_and_numpy_below_2_4(pins):
    assert pins["torch"] == "2.13.0"
    assert tuple(map(int, pins["numpy"].split(".")[:2])) < (2, 4)
    assert "torchvision" not in pins
    assert not any(name.startswith(("nvidia", "cuda", "triton")) for name in pins)


def test_every_declared_need_is_pinned(pins, package):
    """Also jupyterlab, which environment.yml and `make lab` add."""
    groups = [package["dependencies"], *package["optional-dependencies"].values()]
    names = {normal(re.match(r"[A-Za-z0-9._-]+", need)[0]) for group in groups for need in group}
    assert sorted((names | {"jupyterlab"}) - set(pins)) == ["acelib"], "an extra may name others"


def test_what_is_installed_is_what_is_pinned(pins):
    """Every package that an installed, pinned package needs here is pinned too, at the version installed."""
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]  # not what setuptools carries inside itself
    installed = {normal(dist.metadata["Name"]): dist for dist in importlib.metadata.distributions(path=places)}
    differing = {
        name: (installed[name].version, version)
        for name, version in pins.items()
        if name in installed and installed[name].version.split("+")[0] != version
    }
    assert differing == {}
    needs = [Requirement(text) for name in set(pins) & set(installed) for text in installed[name].requires or []]
    here = {normal(need.name) for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})}
    assert sorted(name for name in here - set(pins) if not name.startswith(("nvidia", "cuda", "triton"))) == []


def test_the_package_declares_lower_bounds_only(package):
    wanted = package["dependencies"] + [n for group in package["optional-dependencies"].values() for n in group]
    needs = [need.partition(";")[0] for need in wanted]
    assert [need for need in wanted if ";" in need] == ["dowhy>=0.12; python_version < '3.13'"]
    bounded = [need for need in needs if re.search(r"==|~=|<|!=|===", need)]
    assert sorted(bounded) == ["jupyter-book>=1.0.4,<2", "numpy<2.4"]
    others = [need for need in needs if need.startswith("acelib[")]
    assert all(">=" in need for need in needs if need not in bounded + others)
    adapters = {"captum", "shap", "sklearn", "salib", "dowhy", "onnx", "dask"}
    extras = {"frame", "flow", "quantus", "metrics", "training", "lab", "book", "test"}
    assert set(package["optional-dependencies"]) == extras | adapters


def test_the_lower_bounds_fit_together(package):
    """Below these it was seen to fail: pandas, SALib and Captum with NumPy 2, and Quantus with an older tqdm."""
    needs = package["dependencies"] + [n for group in package["optional-dependencies"].values() for n in group]
    assert {"pandas>=2.2.2", "SALib>=1.5.1", "captum>=0.9", "tqdm>=4.62.3", "scikit-learn>=1.7"} <= set(needs)


def test_the_installed_command_is_that_of_the_module(package, capsys, monkeypatch):
    assert package["scripts"] == {"acelib": "acelib.__main__:run"}
    command = importlib.metadata.EntryPoint("acelib", package["scripts"]["acelib"], "console_scripts").load()
    monkeypatch.setattr(sys, "argv", ["acelib", "--version"])
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 0 and capsys.readouterr().out == f"acelib {package['version']}\n"


def test_the_conda_environment_installs_the_same():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert content["dependencies"][:2] == ["python=3.11", "pip"]
    assert content["dependencies"][2] == {"pip": ["-c constraints.txt", "-e .[book,test,metrics]", "jupyterlab"]}
    assert len(content["dependencies"]) == 3


def test_help_names_every_command():
    rules = set(" ".join(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)).split())
    printed = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    assert set(re.findall(r"^  make (\w+) ", printed.stdout, re.MULTILINE)) == rules
    assert {"book", "test", "refresh", "full", "bench", "lab", "lint", "address", "hashes", "clean", "help"} <= rules


@pytest.fixture
def bare(tmp_path):
    """The frame's files alone, where no environment has been made."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "requirements-hashed.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def make(folder, *arguments):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=clean)
    return run.returncode, run.stdout + run.stderr


def test_a_missing_python_is_said(bare):
    status, said = make(bare, "book", "PYTHON=no-such-python")
    assert status and "no-such-python was not found: install Python 3.11, 3.12 or 3.13" in said
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize(
    "there, taken",
    [("3.11 3.12 3.13", "python3.11"), ("3.12 3.13", "python3.12"), ("3.13", "python3.13"), ("", "python3.11")],
)
def test_the_first_python_that_runs_is_taken(bare, monkeypatch, there, taken):
    """A name that is there and leads nowhere, as a version manager leaves it, is passed over; PYTHON= overrides."""
    for version in ("3.11", "3.12", "3.13"):
        program = bare / f"python{version}"
        program.write_text(f"#!/bin/sh\n{'' if version in there.split() else 'exit 127'}\necho python{version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bare}:{os.environ['PATH']}")
    (bare / "which.mk").write_text("include Makefile\nwhich:\n\t@echo $(PYTHON)\n")
    assert make(bare, "-f", "which.mk", "which") == (0, f"{taken}\n")
    assert make(bare, "-f", "which.mk", "which", "PYTHON=mine") == (0, "mine\n")


def test_a_python_without_ensurepip_is_said(bare):
    fake = bare / "python-without-venv"
    fake.write_text("#!/bin/sh\nmkdir -p .venv/bin; exit 1\n")
    fake.chmod(0o755)
    status, said = make(bare, "test", f"PYTHON={fake}")
    assert status and "`apt install python3-venv`" in said and "python3.11-venv" in said
    assert not (bare / ".venv").exists(), "half an environment must not be taken for a whole one"


@pytest.fixture
def pretended(bare):
    """An environment whose Python writes down what it is asked to do, and fails where a file named `fail` is."""
    scripts = bare / ".venv/bin"
    scripts.mkdir(parents=True)
    for name in ("python", "pip", "ruff"):
        (scripts / name).write_text(PRETENCE)
        (scripts / name).chmod(0o755)
    return bare


def test_the_install_is_done_once_and_again_after_a_change_or_a_failure(pretended):
    python = "PYTHON=sh"  # any program: the environment is there already
    (pretended / "fail").write_text("pip check")
    assert make(pretended, "book", python)[0]
    assert not (pretended / ".venv/.ready").exists()
    (pretended / "fail").unlink()
    (pretended / "asked").unlink()
    assert make(pretended, "book", python) == (0, "installing into .venv (minutes the first time)\n")
    asked = (pretended / "asked").read_text().splitlines()
    install = "-m pip install -q -c constraints.txt -e .[book,test,metrics]"
    headless = "-m pip install -q --no-deps --force-reinstall -c constraints.txt opencv-python-headless"
    assert asked == [install, headless, "-m pip check", ".ci/loopback.py", "-m tools.make book"]
    assert make(pretended, "book", python) == (0, "")
    os.utime(pretended / ".venv/.ready", (1e9, 1e9))  # older than the files it was made from
    assert make(pretended, "book", python) == (0, ""), "touched is not changed"
    package = (pretended / "pyproject.toml").read_text()
    (pretended / "pyproject.toml").write_text(package.replace("# The links", "[project.urls]\n# The links"))
    os.utime(pretended / ".venv/.ready", (1e9, 1e9))
    assert make(pretended, "book", python) == (0, ""), "nor are the links that `make address` writes"
    (pretended / "constraints.txt").write_text("torch==2.13.1\n")
    assert "installing" in make(pretended, "book", python)[1]


def test_an_install_with_hashes_takes_known_files_into_a_new_environment(pretended):
    """Every package by its hash, torch by its version, the package itself without an environment of its own."""
    maker = pretended / "maker"
    maker.write_text(PRETENCE)
    maker.chmod(0o755)
    assert make(pretended, "refresh", f"PYTHON={maker}", "HASHES=1")[0] == 0
    install = "-m pip install -q --no-deps --require-hashes -r"
    assert (pretended / "asked").read_text().splitlines() == [
        "-m venv --clear .venv",
        f"{install} requirements-hashed.txt",
        "-m pip install -q -c constraints.txt torch",
        "-m pip install -q --no-deps --no-build-isolation -e .",
        f"{install} .venv/headless.txt --force-reinstall",
        "-m pip check",
        "-m tools.make refresh",
        "-m tools.front",
    ]
    (name, digest) = (pretended / ".venv/headless.txt").read_text().splitlines()
    assert name.startswith("opencv-python-headless==") and digest.startswith("    --hash=sha256:")
    (pretended / "asked").unlink()
    assert make(pretended, "refresh", f"PYTHON={maker}", "HASHES=1") == (0, "")
    (pretended / "requirements-hashed.txt").write_text("opencv-python-headless==1\n")
    assert "installing" in make(pretended, "refresh", f"PYTHON={maker}", "HASHES=1")[1], "other hashes, another install"


HOSTILE = [
    "x; touch owned",
    "`touch owned`",
    "$(touch owned)",
    "$(shell touch owned)",
    '"; touch owned; "',
    "' & touch owned '",
]
TAKEN = {
    "full": ("CHAPTERS", "-m tools.make full {}"),
    "coverage": ("CASES", "-m tools.coverage {}"),
    "address": ("URL", "-m tools.address {}"),
    "notebooks": ("BRANCH", "-m tools.notebooks --branch {}"),
}


@pytest.mark.parametrize("text", [*HOSTILE, "01-one  *"])
@pytest.mark.parametrize("target", TAKEN)
def test_what_users_give_is_text_and_no_command(pretended, target, text):
    """It arrives as it is, in words where several may be given; neither make nor a shell runs or expands any of it."""
    ready(pretended)
    name, asked = TAKEN[target]
    assert make(pretended, target, "PYTHON=sh", f"{name}={text}")[0] == 0
    words = " ".join(text.split()) if target in ("full", "coverage") else text
    assert (pretended / "asked").read_text().splitlines()[0] == asked.format(words)
    assert not (pretended / "owned").exists()


def test_repetitions_are_text_too_and_what_is_not_given_is_left_out(pretended, monkeypatch):
    """A branch counts on the command line alone."""
    ready(pretended)
    monkeypatch.setenv("BRANCH", "main")
    make(pretended, "coverage", "PYTHON=sh", "REPS=5; touch owned")
    for target in ("coverage", "full", "notebooks"):
        make(pretended, target, "PYTHON=sh")
    asked = (pretended / "asked").read_text().splitlines()
    assert asked[:3] == ["-m tools.coverage --reps 5; touch owned", "-m tools.coverage", "-m tools.make full"]
    assert asked[-1] == "-m tools.notebooks" and not (pretended / "owned").exists()


def ready(folder):
    """Let an environment count as installed."""
    wanted = (folder / "constraints.txt").read_bytes() + (folder / "pyproject.toml").read_bytes()
    (folder / ".venv/.ready").write_bytes(wanted)


def test_every_stage_of_the_tests_runs_and_any_failure_counts(pretended):
    """A failing stage does not hide the others, and the exit status tells."""
    status, said = make(pretended, "test", "PYTHON=sh")
    assert status == 0 and "all tests passed" in said
    stages = re.findall(r"^== (.*) ==$", said, re.MULTILINE)
    assert stages[:4] == ["lint", "format", "types", "unit tests"]
    assert stages[4:] == ["stored notebooks (nbval)", "notebook tests", "page tests"]
    (pretended / "fail").write_text("--nbval")
    status, said = make(pretended, "test", "PYTHON=sh")
    assert status and "FAILED: stored notebooks (nbval)" in said and "== page tests ==" in said


def test_continuous_integration_calls_the_commands_of_the_readme():
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    assert re.search(r"^make test\b", readme, re.MULTILINE) and re.search(r"^make book\b", readme, re.MULTILINE)
    assert script.rstrip().splitlines()[-1] == "make test"
    assert "ACELIB_BROWSER=required" in script and os.access(ROOT / ".ci/run", os.X_OK)


def test_both_licences_are_named():
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text and "WITHOUT WARRANTY OF ANY KIND" in text
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text


def test_nothing_installs_the_package_from_an_index():
    for path in [*ROOT.glob("*.md"), ROOT / "Makefile", *(ROOT / "book").glob("*.md")]:
        assert not re.search(r"pip install [^\n]*\bacelib\b", path.read_text()), path.name


@pytest.mark.parametrize("name", ["README.md", "book/index.md"])
def test_the_lines_that_a_reader_copies_run(name):
    (lines,) = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(lines, names)
    effect = names["effect"]
    assert len(effect) == len(names.get("stderr", names.get("error"))) > 0


def test_every_file_that_the_readme_shows_is_there():
    for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).is_file(), link


def test_the_theme_keeps_the_buttons_that_jupyter_book_gives_it():
    """``html_theme_options`` under ``sphinx.config`` replaces, and so loses, the repository and Colab buttons."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert "html_theme_options" not in config["sphinx"]["config"]
    assert config["launch_buttons"]["colab_url"] == "https://colab.research.google.com"
    assert config["execute"]["execute_notebooks"] == "off" and config["repository"]["path_to_book"] == ""
