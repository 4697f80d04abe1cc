"""What a public host runs and shows: workflows that call the commands of the Makefile, with the least they may do.

GitHub's own schemas (in check-jsonschema, which needs no network) say whether the files have the right form; the rest
are rules of ours. Only a host can say whether a workflow runs.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tools.chapters import ROOT
from tools.commands import COMMANDS

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
WRITES = {
    ("pages", "deploy"): {"pages": "write", "id-token": "write"},
    ("pages", "colab"): {"contents": "write"},
    ("release", "publish"): {"id-token": "write"},
}
"""Jobs that may more than read, and what."""

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path):
    return load(path)["jobs"].items()


def test_the_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["links", "pages", "release", "test", "weekly"]
    assert [path.stem for path in FORMS] == ["bug", "chapter", "number", "sentence"]


SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}


def checked(schema, paths):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_file_has_the_form_that_is_asked_for(schema):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed: pip install check-jsonschema")
    run = checked(schema, SCHEMAS[schema])
    assert run.returncode == 0, run.stdout


def test_the_check_of_the_form_can_fail(tmp_path):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed: pip install check-jsonschema")
    broken = tmp_path / "test.yml"
    broken.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "runs-upon:"))
    assert checked("github-workflows", [broken]).returncode == 1


@each_workflow
def test_a_workflow_reads_and_only_named_jobs_write(path):
    assert load(path)["permissions"] == {"contents": "read"}
    for name, job in jobs(path):
        assert job.get("permissions") == WRITES.get((path.stem, name)), name


@each_workflow
def test_nothing_runs_twice_or_for_ever(path):
    content = load(path)
    assert content["concurrency"]["group"].startswith(path.stem)
    assert content["concurrency"]["cancel-in-progress"] == (path.stem not in ("pages", "release"))
    assert all(5 <= job["timeout-minutes"] <= 120 for _, job in jobs(path))


@each_workflow
def test_actions_are_named_with_their_major_version(path):
    """Those of the host itself and of the package index, and no others."""
    used = {step["uses"] for _, job in jobs(path) for step in job["steps"] if "uses" in step}
    for one in used:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v\d+", one), one


@each_workflow
def test_steps_are_commands_of_the_makefile(path):
    """Beside git on the branch for Colab. Each is given the Python that was set up; no package of a system is named."""
    for name, job in jobs(path):
        for line in (step["run"].strip() for step in job["steps"] if "run" in step):
            if "git " in line:
                assert (path.stem, name) == ("pages", "colab"), line
                continue
            command = re.fullmatch(
                r"make (\w+)(?: BRANCH=colab)? PYTHON=python|python -m tools (\w+)(?: --tag .*)?", line
            )
            assert command and (command[1] or command[2]) in COMMANDS, line


def test_what_is_set_up_is_what_the_package_supports():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    wheel = dict(jobs(GITHUB / "workflows/test.yml"))["wheel"]
    assert wheel["strategy"]["matrix"]["python"] == supported == ["3.11", "3.12", "3.13"]


@each_workflow
def test_pytorch_comes_from_where_the_readme_says(path):
    """Else every job would fetch gigabytes of CUDA."""
    (where,) = re.findall(r"PIP_EXTRA_INDEX_URL=(\S+) make", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert load(path)["env"] == {"PIP_EXTRA_INDEX_URL": where}


def test_everything_is_tested_with_a_browser_that_must_be_there():
    (step,) = (
        s for s in dict(jobs(GITHUB / "workflows/test.yml"))["everything"]["steps"] if "make test" in s.get("run", "")
    )
    assert step["env"] == {"ACELIB_BROWSER": "required"}


def test_what_is_published_is_what_was_rendered_and_built():
    pages, release = dict(jobs(GITHUB / "workflows/pages.yml")), dict(jobs(GITHUB / "workflows/release.yml"))
    assert pages["deploy"]["needs"] == pages["colab"]["needs"] == "render" and release["publish"]["needs"] == "build"
    (upload,) = (s["with"]["path"] for s in pages["render"]["steps"] if "upload" in s.get("uses", ""))
    assert upload == "_build/stored/html"
    (upload,) = (s["with"]["path"] for s in release["build"]["steps"] if "upload" in s.get("uses", ""))
    assert upload == "_build/dist"
    assert load(GITHUB / "workflows/release.yml")[True]["push"] == {"tags": ["v*"]}, "YAML reads `on` as true"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_is_needed(path):
    fields = load(path)["body"]
    assert sum(field.get("validations", {}).get("required", False) for field in fields) >= 2
    assert len({field["id"] for field in fields}) == len(fields) <= 4


def test_the_hook_before_a_commit_is_make_lint():
    (repo,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    (hook,) = repo["hooks"]
    assert repo["repo"] == "local" and hook["entry"] == "make lint" and hook["pass_filenames"] is False
