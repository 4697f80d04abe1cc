"""Does the footer say where numbers come from, and nothing about who computed them? Hashes against hashlib by hand."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from acelib.lab import provenance as module
from acelib.lab.ledger import PROVENANCE_MIME
from acelib.lab.provenance import compute_device, data_hash, describe, device_name, processor_name, provenance


@pytest.fixture
def footer():
    InteractiveShell.instance()
    with capture_output() as captured:
        provenance(seed=0, profile="quick", data=np.arange(3), started=time.time() - 5)
    InteractiveShell.clear_instance()
    (out,) = captured.outputs
    return out.data


def test_footer_shows_its_facts(footer):
    facts = footer[PROVENANCE_MIME]
    assert set(facts["versions"]) == {"python", "torch", "numpy", "scipy", "acelib"}
    assert facts["versions"]["torch"] == torch.__version__ and facts["seed"] == 0 and 5 <= facts["seconds"] < 60
    assert facts["threads"] == torch.get_num_threads()
    for text in (platform.python_version(), facts["device"], facts["data"], "seed", "quick"):
        assert text in footer["text/plain"] and text in footer["text/html"]


def test_footer_names_no_host_no_user_no_path(footer):
    text = json.dumps(footer)
    assert platform.node() not in text and str(Path.cwd()) not in text and str(Path.home()) + "/" not in text
    assert f'"{getpass.getuser()}"' not in text


def test_seconds_run_from_the_start_of_the_process(monkeypatch):
    assert 0 < describe(seed=None, profile="full")["seconds"] < 24 * 3600
    monkeypatch.setitem(__import__("sys").modules, "psutil", None)
    monkeypatch.setattr(module, "_IMPORTED", time.time() - 2)
    facts = describe(seed=None, profile="full")
    assert 2 <= facts["seconds"] < 30 and facts["data"] is None


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, whose switches for TF32 are as they were afterwards."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "A GPU")
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


def test_the_device_is_the_one_that_computed_not_the_one_that_is_there(gpu):
    for device in (None, "cpu", torch.device("cpu")):
        assert device_name(device) == processor_name() == describe(seed=0, profile="full", device=device)["device"]
    for device in ("cuda", "cuda:0", torch.device("cuda", 1)):
        assert device_name(device) == "A GPU" == describe(seed=0, profile="full", device=device)["device"]
    assert device_name("mps") == f"mps on {processor_name()}"


def test_a_gpu_computes_full_runs_alone_and_without_tf32(gpu):
    assert compute_device("quick") == torch.device("cpu") and torch.backends.cudnn.allow_tf32
    assert compute_device("full") == torch.device("cuda")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_full_runs_stay_on_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert compute_device("full") == torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("processor : 0\nmodel name\t: Fast @ 3 GHz\n", "Fast @ 3 GHz"), ("model name : unknown\n", None), (None, None)],
)
def test_device_is_the_processor_elsewhere(monkeypatch, text, expected):
    def read_text(self, **options):
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "read_text", read_text)
    assert device_name() == (expected or f"{platform.machine()} processor")


def digest(*pieces):
    return hashlib.sha256(b"".join(pieces)).hexdigest()[:12]


def test_data_hash_covers_type_shape_and_content(tmp_path):
    array = np.arange(6, dtype="<f8")
    expected = digest(b"<f8(6,)", array.tobytes())
    assert data_hash(array) == data_hash(torch.arange(6, dtype=torch.float64)) == expected
    assert data_hash(array.reshape(2, 3)) != expected != data_hash(array.astype("<f4"))
    assert data_hash([1.0, 2.0]) == data_hash(np.array([1.0, 2.0]))
    assert data_hash(np.array(["a", None], dtype=object)) == digest(b"((2,), ['a', None])")
    (tmp_path / "f").write_bytes(b"abc")
    assert data_hash(tmp_path / "f") == data_hash(str(tmp_path / "f")) == data_hash(b"abc") == digest(b"abc")


def test_data_hash_of_several_pieces_ignores_the_order_of_names():
    assert data_hash({"b": b"2", "a": b"1"}) == data_hash({"a": b"1", "b": b"2"}) == digest(b"a1b2")
    assert data_hash([b"1", b"2"]) == data_hash((b"12",)) == digest(b"12")


def test_a_package_that_is_not_installed_is_named_as_source():
    assert module._version("no-such-package-anywhere") == "from source"
