"""What does not fit gets one sentence with a remedy, exit code 1, and leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import network
from network_files import exported

GOOD = "a,b,c,d\n" + "\n".join(",".join(f"{v:.3f}" for v in row) for row in np.random.default_rng(0).random((20, 4)))


def with_entry(text, row=3, column=1):
    lines = GOOD.split("\n")
    entries = lines[row].split(",")
    entries[column] = text
    lines[row] = ",".join(entries)
    return "\n".join(lines)


TABLES = {
    "empty": ("t.csv", "", "header"),
    "header alone": ("t.csv", "a,b,c,d\n", "0 rows"),
    "no header": ("t.csv", GOOD.split("\n", 1)[1], "header of names"),
    "one row": ("t.csv", "\n".join(GOOD.split("\n")[:2]), "at least two rows"),
    "text in a column": ("t.csv", with_entry("unknown"), "'unknown'"),
    "all text": ("t.csv", "a,b,c,d\n" + "x,y,z,w\n" * 5, "no numeric column"),
    "missing": ("t.csv", with_entry(""), "1 of 20 rows, in b (1)"),
    "infinite": ("t.csv", with_entry("inf"), "--missing drop"),
    "nothing but missing": ("t.csv", "a,b,c,d\n" + "1,,2,3\n" * 5, "5 of 5 rows"),
    "too few columns": ("t.csv", "a,b\n" + "1,2\n3,4\n" * 5, "4 columns that the network reads, got 2"),
    "too many columns": (
        "t.csv",
        "a,b,c,d,e\n" + "1,2,3,4,5\n2,3,4,5,6\n" * 5,
        "got 5 numeric columns (a, b, c, d, e)",
    ),
    "ragged": ("t.csv", GOOD + "\n1,2,3,4,5\n", "as many entries"),
    "longer than the header": ("t.csv", "a,b,c,d\n" + "1,2,3,4,5\n" * 5, "as many entries"),
    "same name twice": ("t.csv", GOOD.replace("a,b,c,d", "a,b,b,d"), "distinct column names"),
    "semicolons": ("t.csv", GOOD.replace(",", ";"), "commas between"),
    "tabs in a csv": ("t.csv", GOOD.replace(",", "\t"), ".tsv"),
    "all constant": ("t.csv", "a,b,c,d\n" + "1,2,3,4\n" * 9, "column that varies"),
    "no text at all": ("t.csv", b"\xff\xfe\x00\x01\x80abc", "UTF-8"),
    "damaged gzip": ("t.csv.gz", gzip.compress(GOOD.encode())[:-12], "readable"),
    "no gzip": ("t.csv.gz", GOOD, "readable"),
    "another kind": ("t.xlsx", GOOD, ".csv"),
    "open quotes": ("t.csv", 'a,b,c,d\n"1,2,3,4\n' + "1,2,3,4\n" * 3, ""),
}


def refused(run, tmp_path, words, part):
    """One line on the error stream that holds this part, and nothing written."""
    before = sorted(p.name for p in tmp_path.iterdir())
    code, said, _ = run(*words)
    assert code == 1 and said.out == ""
    assert said.err.startswith("acelib: ") and said.err.count("\n") == 1 and "Traceback" not in said.err, said.err
    assert part in said.err, said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name, content, part", TABLES.values(), ids=TABLES)
def test_a_table(run, made, tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(run, tmp_path, [made / "iris.pt2", tmp_path / name], part)


def test_a_table_that_is_not_there_or_a_folder(run, made, tmp_path):
    refused(run, tmp_path, [made / "iris.pt2", tmp_path / "none.csv"], "none.csv")
    (tmp_path / "folder.csv").mkdir()
    refused(run, tmp_path, [made / "iris.pt2", tmp_path / "folder.csv"], "must be a file")


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, 0.9, 0.999])
def test_a_parquet_file_of_any_length_of_rubbish(run, made, tmp_path, cut):
    """Also where pyarrow is missing: one sentence all the same."""
    content = np.random.default_rng(1).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    (tmp_path / "t.parquet").write_bytes(content[: int(cut * 3000) if cut < 1 else cut])
    refused(run, tmp_path, [made / "iris.pt2", tmp_path / "t.parquet"], "parquet")


OPTIONS = {
    "unknown column": (["--columns", "a,b,c,nose"], "'nose'"),
    "unknown drop": (["--drop", "nose"], "'nose'"),
    "unknown groups": (["--groups", "nose"], "'nose'"),
    "too few chosen": (["--columns", "a,b"], "got 2"),
    "dropped and chosen": (["--columns", "a,b,c,d", "--drop", "a"], "'a'"),
    "wrong target": (["--target", "7"], "7"),
    "wrong name": (["--target", "setosa"], "setosa"),
    "target twice": (["--target", "1,-2"], "once"),
    "too few names": (["--outputs", "a,b"], "3 outputs"),
    "unknown domain": (["--domain", "nose=0:1"], "'nose'"),
    "wrong result": (["--result", "4"], "which returns a single tensor, got 4"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words, part", OPTIONS.values(), ids=OPTIONS)
def test_an_option(run, made, tmp_path, words, part):
    (tmp_path / "t.csv").write_text(GOOD)
    refused(run, tmp_path, [made / "iris.pt2", tmp_path / "t.csv", *words], part)


def test_groups_that_are_missing_or_one(run, made, tmp_path):
    frame = pd.read_csv(io.StringIO(GOOD))
    for labels, part in (([None] * 3 + ["x"] * 17, "missing"), (["x"] * 20, "two groups")):
        frame.assign(g=labels).to_csv(tmp_path / "t.csv", index=False)
        refused(run, tmp_path, [made / "iris.pt2", tmp_path / "t.csv", "--groups", "g"], part)


class Bomb:
    """A pickle that writes a file when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl", "net.bin", "net", "net.pt2.txt"])
def test_a_file_of_pickles_is_not_opened(run, made, tmp_path, name):
    """The sentence names the remedy, and nothing in the file is executed."""
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "owned")))
    refused(run, tmp_path, [tmp_path / name, made / "numbers.csv"], "torch.export.save")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("how", ["plain", "zip", "in every member", "beside"])
def test_no_pickle_in_a_program_is_executed(run, made, tmp_path, how):
    """A pickle in place of the program, in a zip, in place of each member of a real program, or added to it."""
    bomb, path = pickle.dumps(Bomb(tmp_path / "owned")), tmp_path / "net.pt2"
    members = zipfile.ZipFile(made / "iris.pt2").namelist()
    if how == "plain":
        path.write_bytes(bomb)
    elif how == "zip":
        torch.save({"net": Bomb(tmp_path / "owned")}, path)
    for member in members if how == "in every member" else ["data.pkl"] if how == "beside" else []:
        with zipfile.ZipFile(made / "iris.pt2") as real, zipfile.ZipFile(path, "w") as changed:
            for name in members:
                changed.writestr(name, bomb if name == member else real.read(name))
            if how == "beside":
                changed.writestr(members[0].split("/")[0] + "/data.pkl", bomb)
        code, said, _ = run(path, made / "numbers.csv", "--quiet", "--format", "json", "--values", "3")
        assert code in (0, 1) and "Traceback" not in said.err and said.err.count("\n") == code
        assert not (tmp_path / "owned").exists(), member
    if how in ("plain", "zip"):
        refused(run, tmp_path, [path, made / "numbers.csv"], "net.pt2 must")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.98])
@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_damaged_network(run, made, tmp_path, share, kind):
    whole = (made / "iris.pt2").read_bytes()
    (tmp_path / f"net.{kind}").write_bytes(whole[: int(share * len(whole))])
    refused(run, tmp_path, [tmp_path / f"net.{kind}", made / "numbers.csv"], f"net.{kind}")


def test_a_network_for_one_size_of_batch(run, made, tmp_path):
    exported(network(4), 4, tmp_path / "net.pt2", batch=False)
    refused(run, tmp_path, [tmp_path / "net.pt2", made / "numbers.csv"], "dynamic_shapes")


def test_a_network_that_returns_nan(run, made, tmp_path):
    class Root(torch.nn.Module):
        def forward(self, x):
            return (x - 2).sqrt()[:, :1]

    exported(Root(), 4, tmp_path / "net.pt2")
    refused(run, tmp_path, [tmp_path / "net.pt2", made / "numbers.csv"], "NaN")


def test_many_outputs_have_to_be_named(run, made, tmp_path):
    exported(network(4, 30), 4, tmp_path / "net.pt2")
    refused(run, tmp_path, [tmp_path / "net.pt2", made / "numbers.csv"], "--target")
    words = ["--target", "29", "--format", "json", "--values", "3"]
    assert run(tmp_path / "net.pt2", made / "numbers.csv", *words)[0] == 0


def test_softmax_of_one_output(run, made):
    code, said, _ = run(
        made / "product.pt2", made / "numbers.csv", "--columns", "sepal length,petal width", "--link=softmax"
    )
    assert code == 1 and "sigmoid" in said.err


@pytest.mark.parametrize("what", ["a file", "below a file", "not allowed", "full"])
def test_a_folder_that_cannot_be_written_to(run, made, tmp_path, monkeypatch, what):
    """Before the work starts, but for a disk that is full at its end; then nothing is left either."""
    (tmp_path / "taken").write_text("mine")
    words, out = [made / "iris.pt2", made / "numbers.csv", "--values", "3", "--quiet"], "taken/deeper"
    if what == "a file":
        out = "taken"
    elif what in ("not allowed", "full"):
        from pathlib import Path

        out, name = "out", {"not allowed": "mkdir", "full": "write_text"}[what]
        real = getattr(Path, name)

        def denied(self, *args, **options):
            if ".part" in str(self):
                raise OSError(28 if what == "full" else 13, "no")
            return real(self, *args, **options)

        monkeypatch.setattr(Path, name, denied)
    code, said, _ = run(*words, out=out)
    assert code == 1 and said.err.count("\n") == 1 and str(tmp_path) in said.err, said.err
    assert [p.name for p in tmp_path.iterdir()] == ["taken"] and (tmp_path / "taken").read_text() == "mine"


def test_results_do_not_go_over_what_is_read(run, made, tmp_path):
    (tmp_path / "effects.csv").write_text(GOOD)
    code, said, _ = run(made / "iris.pt2", tmp_path / "effects.csv", out=".")
    assert code == 1 and "over a file that is read" in said.err and (tmp_path / "effects.csv").read_text() == GOOD


@pytest.mark.filterwarnings("ignore")
def test_rows_that_are_dropped_are_counted(run, made, tmp_path):
    (tmp_path / "t.csv").write_text(with_entry("", row=5) + "\n0.1,0.2,nan,0.3\n")
    code, said, content = run(
        made / "iris.pt2", tmp_path / "t.csv", "--missing", "drop", "--format", "json", "--values", "3"
    )
    assert code == 0 and content["table"]["rows"] == 19 and content["table"]["rows_left_out"] == 2
    assert any("2 rows with missing" in one["text"] for one in content["warnings"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("order, told", [("acbd", False), ("abcd", True), ("dabc", True)])
def test_levels_of_a_category_that_would_be_set_alone_are_told(run, made, tmp_path, order, told):
    """a and b are levels where they lie together; c is a switch and d a quantity."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 2, 60)
    frame = pd.DataFrame({"a": level, "b": 1 - level, "c": rng.integers(0, 2, 60), "d": rng.random(60)})
    frame[list(order)].to_csv(tmp_path / "t.csv", index=False)
    _, _, content = run(made / "iris.pt2", tmp_path / "t.csv", "--values", "3", "--format", "json", "--quiet")
    found = [one["text"] for one in content["warnings"] if "exactly one 1 in every row" in one["text"]]
    assert len(found) == told and all(one.startswith("columns a and b hold") for one in found)


@pytest.mark.filterwarnings("ignore")
def test_one_constant_column_is_a_warning(run, made, tmp_path):
    frame = pd.read_csv(io.StringIO(GOOD)).assign(c=2.5)
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, said, content = run(made / "iris.pt2", tmp_path / "t.csv", "--values", "3")
    assert code == 0 and "warning: constant features have effect 0" in said.err
    curve = next(one for one in content["curves"] if one["feature"] == "c")
    assert curve["ace"] == [0.0] and curve["importance"]["value"] == 0 and curve["verdict"] == "none"
