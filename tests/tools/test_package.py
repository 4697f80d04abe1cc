"""The package as it is built: what the wheel holds and says, and where its README leads."""

from __future__ import annotations

import email
import subprocess
import tomllib
import zipfile

import pytest
from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement

from tools import address, package
from tools.chapters import ROOT

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built by the tools that are installed, without a network."""
    return zipfile.ZipFile(package.build_wheel(tmp_path_factory.mktemp("built"), isolated=False))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "acelib").rglob("*.py")} | {"acelib/py.typed"}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == sources


def test_the_wheel_says_what_the_package_declares(wheel):
    """Licence, classifiers, keywords, extras, and each need with the extra that asks for it."""
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    said = email.message_from_bytes(wheel.read(name))
    assert said["License-Expression"] == canonicalize_license_expression("MIT") and said["License-File"] == "LICENSE"
    assert said.get_all("Classifier") == DECLARED["classifiers"]
    assert not any("License ::" in one for one in DECLARED["classifiers"]), "the expression takes its place"
    assert said["Keywords"].split(",") == DECLARED["keywords"]
    assert sorted(said.get_all("Provides-Extra")) == sorted(DECLARED["optional-dependencies"])
    needs = [Requirement(text) for text in said.get_all("Requires-Dist")]
    for extra in ("", *DECLARED["optional-dependencies"]):
        own = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
        assert len(own) == len(DECLARED["dependencies"]) + len(DECLARED["optional-dependencies"].get(extra, []))
    assert said.get_all("Project-URL") is None, "the address is no address yet"


def test_links_follow_the_address(tmp_path):
    """On a copy: there with an address, gone without, and every byte is back."""
    for name in ("pyproject.toml", "_config.yml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    before, old = (tmp_path / "pyproject.toml").read_bytes(), address.current(tmp_path)
    address.change("https://github.com/some/one", tmp_path)
    said = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert said["urls"]["Source"] == "https://github.com/some/one" and said["optional-dependencies"]
    address.change("https://github.com/OWNER/causal-attribution-book", tmp_path)
    assert "urls" not in tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    address.change(old, tmp_path)
    assert (tmp_path / "pyproject.toml").read_bytes() == before


def test_a_page_without_the_folder_beside_it_has_whole_addresses():
    text = "[a](b.md) ![c](d.png) [e](https://e.org) [f](#g)"
    moved = package.with_addresses(text, "https://github.com/some/one")
    base = "https://github.com/some/one"
    assert moved == f"[a]({base}/blob/main/b.md) ![c]({base}/raw/main/d.png) [e](https://e.org) [f](#g)"
    assert package.with_addresses(text, "https://github.com/OWNER/one") == text


def test_a_wheel_that_cannot_be_built_is_said(tmp_path, monkeypatch):
    refused = subprocess.CompletedProcess([], 1, "", "error: no setuptools\n")
    monkeypatch.setattr(package.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(ValueError, match="must build the wheel, got this; mend it:\nerror: no setuptools"):
        package.build_wheel(tmp_path)


def test_the_archives_are_built_and_checked_where_nothing_else_is(tmp_path, monkeypatch, capsys):
    """Pretended: what is asked of which Python, and that a failure ends it."""
    asked, refused = [], []

    def run(command, **_):
        asked.append(command[1:])
        if command[2] == "build":
            (tmp_path / "_build/dist").mkdir(parents=True)
            (tmp_path / "_build/dist/acelib.whl").write_text("")
        return subprocess.CompletedProcess(command, int(command[2] in refused))

    monkeypatch.setattr(package.subprocess, "run", run)
    monkeypatch.setattr("tools.venv.make", lambda folder, base: folder / "bin/python")
    monkeypatch.setattr(package, "lay_out", lambda folder, root: folder)
    line = ["--python", "python3.11"]
    assert package.main(line, tmp_path) == 0
    assert [words[1] for words in asked] == ["pip", "build", "twine"]
    assert asked[-1][2:] == ["check", "--strict", str(tmp_path / "_build/dist/acelib.whl")]
    refused += ["build"]
    asked.clear()
    assert package.main(line, tmp_path) == 1 and len(asked) == 2
    assert "build must succeed" in capsys.readouterr().err


def test_a_tag_is_the_version_of_package_and_citation(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    package.check_tag("v1.2.0", tmp_path)
    package.check_tag(f"v{DECLARED['version']}")
    assert package.main(["--tag", "v1.2.1"], tmp_path) == 1
    assert "got v1.2.1 for 1.2.0 and 1.2.0; correct them" in capsys.readouterr().err
    (tmp_path / "CITATION.cff").write_text("version: 1.1.0\n")
    assert package.main(["--tag", "v1.2.0"], tmp_path) == 1
