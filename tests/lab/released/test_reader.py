"""Old pickled modules are read without executing anything of them: torch's own tensors are the reference, and files
that name other things, call them or change what they were given are refused before anything happens."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from acelib.lab.datasets.registry import DataError
from acelib.lab.released import FILES, folder, read_state, reader, released_file


def saved(tmp_path, module):
    path = tmp_path / "net"
    torch.save(module, path, _use_new_zipfile_serialization=False)
    return path


def file_with(tmp_path, program: bytes, keys=()):
    """An old file whose module is the given pickle program."""
    path = tmp_path / "net"
    head = [pickle.dumps(part, protocol=2) for part in (reader.MAGIC, reader.PROTOCOL, {"little_endian": True})]
    path.write_bytes(b"".join([*head, program, pickle.dumps(list(keys), protocol=2)]))
    return path


class Touch:
    """What a malicious pickle does: it has a file made while it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [nn.Linear, nn.GRU, nn.LSTM])
def test_states_are_torchs_own(tmp_path, kind, dtype):
    """Bit for bit, in float64, with the names of ``state_dict``."""
    net = kind(3, 2).to(dtype)
    state = read_state(saved(tmp_path, net))
    assert state.keys() == net.state_dict().keys()
    for name, value in net.state_dict().items():
        assert state[name].dtype == torch.float64 and torch.equal(state[name], value.double())


def test_modules_in_modules_have_dotted_names(tmp_path):
    net = nn.Linear(2, 2)
    net.inner = nn.Linear(2, 1)
    assert set(read_state(saved(tmp_path, net))) == {"weight", "bias", "inner.weight", "inner.bias"}


def test_parts_of_one_storage_are_told_apart(tmp_path):
    """A transposed and an offset view: size, stride and offset are all used."""
    net, whole = nn.Linear(2, 3), torch.arange(20.0)
    net.weight, net.bias = nn.Parameter(whole[4:10].view(2, 3).T), nn.Parameter(whole[11:20:3])
    state = read_state(saved(tmp_path, net))
    assert state["weight"].tolist() == [[4, 7], [5, 8], [6, 9]] and state["bias"].tolist() == [11, 14, 17]


# ---------------------------------------------------------------- what is refused


def test_a_malicious_pickle_executes_nothing(tmp_path):
    """The same program has its file made by ``pickle`` itself, so that it would have worked."""
    program = pickle.dumps(OrderedDict(a=Touch(tmp_path / "made")), protocol=2)
    with pytest.raises(ValueError, match=r"names (_?io|__builtin__|builtins)\.open"):
        read_state(file_with(tmp_path, program))
    assert not (tmp_path / "made").exists()
    pickle.loads(program)["a"].close()
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["os system", "torch load", "torch._utils _import_dotted_name", "__builtin__ eval"])
def test_every_name_outside_the_table_is_refused(tmp_path, name):
    program = b"\x80\x02c" + "\n".join(name.split()).encode() + b"\n."
    with pytest.raises(ValueError, match=f"names {name.replace(' ', '.')}"):
        read_state(file_with(tmp_path, program))


def test_a_class_of_the_file_is_neither_imported_nor_called(tmp_path, monkeypatch):
    """Reading a linear layer neither makes one nor restores one."""
    path = saved(tmp_path, nn.Linear(2, 1))
    called = []
    monkeypatch.setattr(nn.Linear, "__init__", lambda self, *a: called.append(self))
    monkeypatch.setattr(nn.Linear, "__setstate__", lambda self, state: called.append(state))
    assert set(read_state(path)) == {"weight", "bias"} and not called


def test_what_the_table_gives_cannot_be_changed(tmp_path):
    """BUILD with a state for slots sets attributes: on the class that stands for modules, and on a function."""
    state = pickle.dumps((None, {"__setstate__": 1}), protocol=2)[2:-1]
    for name in (b"torch.nn.modules.linear\nLinear\n", b"torch._utils\n_rebuild_tensor\n"):
        with pytest.raises(ValueError, match="wants to change|must be a module"):
            read_state(file_with(tmp_path, b"\x80\x02c" + name + state + b"b."))
    assert set(read_state(saved(tmp_path, nn.Linear(2, 1)))) == {"weight", "bias"}


def test_a_tensor_outside_its_storage_is_refused(tmp_path):
    path = saved(tmp_path, nn.Linear(2, 1, bias=False))
    data = path.read_bytes()
    where = data.index(b"K\x00K\x01K\x02\x86")  # offset 0, size (1, 2)
    path.write_bytes(data[:where] + b"K\x09" + data[where + 2 :])
    with pytest.raises(ValueError, match="must be a module saved by an old torch.save"):
        read_state(path)


@pytest.mark.parametrize("cut", [10, 200, -4])
def test_a_damaged_file_is_refused(tmp_path, cut):
    path = saved(tmp_path, nn.Linear(2, 1))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="got net"):
        read_state(path)


def test_other_files_are_refused(tmp_path):
    torch.save(nn.Linear(2, 1), tmp_path / "new")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "raw").write_bytes(bytes(8))
    for name in ("new", "text", "raw"):
        with pytest.raises(ValueError, match=f"got {name}"):
            read_state(tmp_path / name)


# ---------------------------------------------------------------- the folder


def test_files_are_used_only_with_the_recorded_hash(tmp_path, monkeypatch):
    name = "Models/iris_double_model_8"
    monkeypatch.delenv(folder.VARIABLE, raising=False)
    with pytest.raises(DataError, match="ACELIB_RELEASED must be set .* at commit"):
        released_file(name)
    with pytest.raises(DataError, match=f"folder must hold {name}"):
        released_file(name, folder=tmp_path)
    (tmp_path / "Models").mkdir()
    (tmp_path / name).write_bytes(b"another network")
    with pytest.raises(DataError, match=f"must have SHA-256 {FILES[name]}, got "):
        released_file(name, folder=tmp_path)
    with pytest.raises(ValueError, match="name must be one of"):
        released_file("README.md", folder=tmp_path)
    monkeypatch.setitem(folder.FILES, name, "f2" * 32)
    with pytest.raises(DataError, match="must have SHA-256 f2f2"):
        released_file(name, folder=tmp_path)


def test_the_right_bytes_are_found_in_the_named_folder(tmp_path, monkeypatch):
    name = "Models/iris_double_model_8"
    (tmp_path / "Models").mkdir()
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(folder.FILES, name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    assert folder.is_named() and released_file(name) == tmp_path / name
