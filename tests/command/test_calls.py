"""Does the command line behave as one? Exit codes, help, progress, Ctrl-C, what it opens, and one run as a process."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from network_files import IRIS, exported

import acelib
from acelib import __version__
from acelib.command import main

COMMAND = [sys.executable, "-m", "acelib"]


def environment():
    return os.environ | {"PYTHONPATH": str(Path(acelib.__file__).parents[1]), "PYTHONIOENCODING": "ascii"}


def test_help_names_every_option_and_every_exit_code(capsys):
    assert main([]) == 0
    assert "effects" in capsys.readouterr().out
    assert main(["effects", "--help"]) == 0
    said = capsys.readouterr().out
    options = (
        "columns drop missing target outputs result link domain groups method budget rows values chunk seed out format"
    )
    assert all(f"--{option}" in said for option in [*options.split(), "quiet"])
    assert "exit codes: 0" in said and "1 " in said and "2 " in said and "130" in said


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"acelib {__version__}\n"


def test_help_and_version_need_no_torch():
    program = "import sys; from acelib.command import main; main(['effects', '--help']); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True)
    assert run.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "words",
    [
        ["effects"],
        ["effects", "a.pt2"],
        ["effect", "a.pt2", "b.csv"],
        *(
            ["effects", "a.pt2", "b.csv", *more.split()]
            for more in (
                "--method guess",
                "--link tanh",
                "--format pdf",
                "--budget 7",
                "--rows 1",
                "--values 2.5",
                "--seed x",
                "--domain a=2:1",
                "--domain a",
                "--domain =1:2",
                "--domain a=1:nan",
                "--domain a=",
                "--columns a,,b",
                "--columns a,a",
                "--colum a",
                "--missing keep",
            )
        ),
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_usage(words, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and "usage:" in said.err and "error:" in said.err


def test_ctrl_c_says_so_and_leaves_nothing(run, made, tmp_path, monkeypatch):
    """Wherever it comes: while the network is asked, while pictures are drawn, while files are written."""
    from acelib.adapters.exported import ExportedNetwork
    from acelib.command import figures

    def stopped(*_, **__):
        raise KeyboardInterrupt

    write = Path.write_text
    for holder, name in ((ExportedNetwork, "forward"), (figures, "draw"), (Path, "write_text")):
        with monkeypatch.context() as patch:
            patch.setattr(holder, name, stopped)
            code, said, _ = run(made / "iris.pt2", made / "numbers.csv", "--values", "3", "--quiet", out="a/b")
        assert code == 130 and said.err == "\nstopped: nothing was written\n" and list(tmp_path.iterdir()) == []
    assert Path.write_text is write


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
def test_a_process_that_is_stopped_ends_with_130(made, tmp_path):
    """A real SIGINT, at the moment at which the first part of the results appears."""
    out = tmp_path / "out"
    words = [*COMMAND, "effects", made / "iris.pt2", made / "numbers.csv", "--out", out, "--values", "2000", "--quiet"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())
    while process.poll() is None and not list(tmp_path.iterdir()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and said.strip() == "stopped: nothing was written", said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_results_that_were_there_are_replaced_whole_or_kept(run, made, tmp_path, monkeypatch):
    """A run that fails while the last file is written changes none of an earlier run; other files stay."""
    words = [made / "iris.pt2", made / "numbers.csv", "--values", "3", "--quiet"]
    assert run(*words)[0] == 0
    (tmp_path / "out/notes.txt").write_text("mine")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert sorted(before) == ["effects.csv", "effects.json", "notes.txt", "report.html"]
    real = Path.write_text

    def full(self, *args, **options):
        if self.name == "report.html":
            raise OSError(28, "No space left on device")
        return real(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert run(*words, "--seed", "5")[0] == 1
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert run(*words, "--seed", "5")[0] == 0
    after = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert after["notes.txt"] == b"mine" and json.loads(after["effects.json"])["settings"]["seed"] == 5


@pytest.mark.filterwarnings("ignore")
def test_nothing_asks_the_network(run, made, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert run(made / "iris.pt2", made / "numbers.csv", "--values", "3")[0] == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("terminal, quiet", [(True, False), (True, True), (False, False)])
def test_the_bar_is_for_a_terminal(run, made, monkeypatch, terminal, quiet):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    words = [made / "iris.pt2", made / "numbers.csv", "--values", "3", "--format", "csv"]
    code, said, _ = run(*words, *(["--quiet"] if quiet else []))
    assert code == 0 and ("regress" in said.err) == (terminal and not quiet)


@pytest.mark.filterwarnings("ignore")
def test_tables_of_every_kind_hold_the_same(run, made, tmp_path):
    """csv, tsv and their gzip; parquet where pyarrow is there, a sentence where it is not."""
    frame, found = pd.read_csv(made / "numbers.csv"), {}
    for kind, separator in (("csv", ","), ("tsv", "\t"), ("csv.gz", ","), ("tsv.gz", "\t")):
        frame.to_csv(tmp_path / f"t.{kind}", sep=separator, index=False)
        words = [tmp_path / f"t.{kind}", "--values", "3", "--format", "json"]
        code, _, found[kind] = run(made / "iris.pt2", *words, out=kind)
        assert code == 0
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (tmp_path / "t.parquet").write_bytes(b"PAR1")
        code, said, _ = run(made / "iris.pt2", tmp_path / "t.parquet")
        assert code == 1 and "needs pyarrow, which is not installed; run `pip install pyarrow`" in said.err
    else:
        frame.to_parquet(tmp_path / "t.parquet")
        code, _, found["parquet"] = run(made / "iris.pt2", tmp_path / "t.parquet", "--values", "3", "--format", "json")
        assert code == 0
    assert all(one["curves"] == found["csv"]["curves"] for one in found.values())


def test_a_missing_pandas_is_said(run, made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    code, said, _ = run(made / "iris.pt2", made / "numbers.csv")
    assert code == 1 and said.err == (
        "acelib: a table of a file needs pandas, which is not installed; run `pip install pandas`\n"
    )


@pytest.mark.filterwarnings("ignore")
def test_the_folder_is_beside_the_table_unless_another_is_asked_for(made, tmp_path, capsys):
    (tmp_path / "my.table.csv").write_bytes((made / "numbers.csv").read_bytes())
    words = ["effects", str(made / "iris.pt2"), str(tmp_path / "my.table.csv"), "--values", "3", "--format", "csv"]
    assert main(words) == 0
    assert (tmp_path / "my.table-effects/effects.csv").is_file() and "my.table-effects" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_onnx(run, made, tmp_path):
    """The same numbers as of torch.export, to float32; what needs a derivative is refused in one sentence."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    net = torch.export.load(made / "single.pt2").module()
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        net, (torch.zeros(2, 4),), tmp_path / "net.onnx", dynamic_shapes=batch, dynamo=True, verbose=False
    )
    words = [made / "numbers.csv", "--values", "5", "--format", "json", "--quiet"]
    (code, _, one), (other_code, _, other) = run(made / "single.pt2", *words), run(tmp_path / "net.onnx", *words)
    assert code == other_code == 0
    for a, b in zip(one["curves"], other["curves"], strict=True):
        assert torch.allclose(torch.tensor(a["expectation"]), torch.tensor(b["expectation"]), atol=1e-5)
    code, said, _ = run(tmp_path / "net.onnx", *words, "--method", "taylor", out="taylor")
    assert code == 1 and "gradient" in said.err and said.err.count("\n") == 1


def test_from_file_to_report_as_a_process(tmp_path):
    """The book's Iris network, trained shortly and exported, and the table as a user has it; on an ASCII terminal."""
    from acelib.lab.iris import train_iris

    run, _ = train_iris([0], epochs=8)
    exported(run.networks[0], 4, tmp_path / "iris.pt2")
    frame = pd.DataFrame(run.dataset.X.numpy(), columns=[*IRIS[:3], "petal width – Blütenblatt"])
    frame["species"] = run.dataset.y.numpy()
    frame.to_csv(tmp_path / "iris.csv", index=False)
    words = [
        "effects",
        "iris.pt2",
        "iris.csv",
        "--drop",
        "species",
        "--link",
        "softmax",
        "--outputs",
        "setosa,versicolor,virginica",
    ]
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert "moves setosa most" in done.stdout and "iris-effects" in done.stdout and "Traceback" not in done.stderr
    content = json.loads((tmp_path / "iris-effects/effects.json").read_text(encoding="utf-8"))
    assert len(content["curves"]) == 12 and content["settings"]["link"] == "softmax"
    with open(tmp_path / "iris-effects/effects.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 12 * 50
    page = (tmp_path / "iris-effects/report.html").read_text(encoding="utf-8")
    assert "petal width – Blütenblatt" in page and page.count("<img") == 3 + 12
    of_setosa = [c for c in content["curves"] if c["target"] == "setosa" and c["feature"] == "petal length"]
    assert of_setosa[0]["ace"][0] > 0 > of_setosa[0]["ace"][-1]  # short petals are those of setosa


def test_the_reference_names_every_option_and_entry(run, made):
    """The page of the book, where it is at hand, against the parser and a run's files."""
    page = Path(acelib.__file__).parents[1] / "book/api.md"
    if not page.is_file():
        pytest.skip("the pages of the book are not here")
    text = page.read_text(encoding="utf-8").partition("## The command line")[2].partition("\n## ")[0]
    from acelib.command.arguments import parser

    (group,) = [one for one in parser()._actions if one.dest == "command"]
    options = [name for action in group.choices["effects"]._actions for name in action.option_strings]
    assert [name for name in options if name not in ("-h", "--help") and f"`{name}" not in text] == []
    _, _, content = run(made / "iris.pt2", made / "numbers.csv", "--values", "3", "--format", "json", "--quiet")
    left = {
        "feature",
        "target",
        "family",
        "cost",
        "baseline_stderr",
        "lack_of_fit",
        *(f"ace_{e}" for e in ("stderr", "low", "high")),
    }
    assert [name for name in content["curves"][0] if name not in left and f"`{name}`" not in text] == []
