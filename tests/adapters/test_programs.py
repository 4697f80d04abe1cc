"""Networks of files: programs of torch.export as differentiable networks, and what their reader must not execute."""

from __future__ import annotations

import io
import json
import os
import pickle

import pytest
import torch
from torch import nn
from torch.export import Dim, export, save

from acelib import AverageCausalEffect, InputDistribution, as_model, interventional_expectation
from acelib.adapters import load_network

archive = pytest.importorskip("torch.export.pt2_archive._package")
X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
BATCH = ({0: Dim("batch")},)


class Pairs(nn.Module):
    """A network of two outputs, with buffers, constants and operators of many kinds."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)
        self.register_buffer("scale", torch.full((4,), 2.0))

    def forward(self, x):
        h = self.norm(nn.functional.gelu(self.first(x), approximate="tanh") * self.scale + torch.tensor([1.0, 2, 3, 4]))
        h = torch.einsum("bi,ij->bj", h, torch.eye(4)).reshape(x.shape[0], -1)
        return {"logits": self.last(h), "hidden": (h[:, 0],), "first": h[:, 0]}


class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 2, 2, padding="same"), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
        self.last = nn.Linear(18, 2)

    def forward(self, x):
        return self.last(self.net(x)).softmax(1)


NETS = {
    "table": (lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2)), (3,)),
    "image": (Image, (1, 3, 3)),
    "attention": (lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten()), (2, 4)),
}


def saved(net, path, shape=(3,), dtype=torch.float32, dynamic=BATCH):
    torch.manual_seed(0)
    net = (net() if isinstance(net, type) or not isinstance(net, nn.Module) else net).to(dtype).eval()
    save(export(net, (torch.randn(5, *shape, dtype=dtype),), dynamic_shapes=dynamic), path)
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make, shape", NETS.values(), ids=NETS)
def test_a_program_is_the_network(tmp_path, make, shape, dtype):
    """Outputs, derivatives and all estimators are those of the module that was exported."""
    path = tmp_path / "net.pt2"
    net = saved(make, path, shape, dtype)
    found = load_network(path)
    x = torch.randn(80, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(found(x), net(x), atol=1e-5 if dtype == torch.float32 else 1e-12)
    assert found.shape == shape and found.dtype == dtype and not found.training
    inputs = InputDistribution.fit(x.double())
    for method in ("monte_carlo", "taylor"):
        ours, own = (interventional_expectation(m, inputs, 1, [0.0, 0.5], method=method) for m in (found, net))
        assert torch.allclose(ours.values, own.values, atol=1e-4)
    assert torch.equal(pickle.loads(pickle.dumps(found))(x), found(x))
    assert torch.equal(as_model(str(path))(x), found(x)) and found.eval() is found
    with pytest.raises(ValueError, match="mode must be evaluation"):
        found.train()


def test_one_of_several_outputs_is_named(tmp_path):
    net = saved(Pairs, tmp_path / "net.pt2")
    assert torch.allclose(load_network(tmp_path / "net.pt2", output="logits")(X), net(X)["logits"], atol=1e-6)
    assert load_network(tmp_path / "net.pt2", output="first")(X).shape == (60, 1)
    with pytest.raises(ValueError, match=r"output must be one of the outputs \['logits', 'first'\] of net.pt2"):
        load_network(tmp_path / "net.pt2")(X)
    with pytest.raises(ValueError, match="got 'logit'"):
        as_model(tmp_path / "net.pt2", output="logit")(X)


def test_a_batch_of_one_size_and_other_wrong_shapes_end_in_one_sentence(tmp_path):
    path = tmp_path / "net.pt2"
    linear = nn.Linear(3, 2)
    saved(linear, path, dynamic=None)
    with pytest.raises(
        ValueError, match=r"net.pt2 must take a batch of any size, got exactly 5 rows; export it with dyn"
    ):
        load_network(path)
    saved(linear, path, dynamic=({0: Dim("batch", max=32)},))
    found = load_network(path)
    with pytest.raises(ValueError, match="must take a batch of shape .*to be <= 32, but got 60.*chunk_size"):
        found(X)
    inputs = InputDistribution.fit(X)
    few = interventional_expectation(found, inputs, 0, [0.0], chunk_size=32)
    assert torch.allclose(few.values, interventional_expectation(linear, inputs, 0, [0.0]).values)
    saved(nn.Identity(), path, dynamic=({0: Dim("batch"), 1: Dim("width")},))
    with pytest.raises(ValueError, match="must take inputs of one shape"):
        load_network(path)

    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

    save(export(Two(), (X, X), dynamic_shapes={"a": {0: Dim("n")}, "b": {0: Dim("n")}}), path)
    with pytest.raises(ValueError, match="must take one tensor .* got 2 inputs"):
        load_network(path)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(3)], ids=["dropout", "batch norm"])
def test_a_program_in_training_mode_is_refused(tmp_path, layer):
    net = nn.Sequential(layer, nn.Linear(3, 2)).train()
    save(export(net, (X,), dynamic_shapes={"input": {0: Dim("n")}}), tmp_path / "net.pt2")
    with pytest.raises(ValueError, match="net.pt2 must be in evaluation mode, got .* in training mode; call eval"):
        load_network(tmp_path / "net.pt2")


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl", "net", "net.safetensors"])
def test_other_files_are_not_opened(tmp_path, name):
    torch.save(nn.Linear(3, 2), tmp_path / name)
    with pytest.raises(ValueError, match="path must be a program that ends in .pt2 or .onnx"):
        load_network(tmp_path / name)
    with pytest.raises(ValueError, match="path must be a file, got .*which does not exist"):
        load_network(tmp_path / "absent.pt2")


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "a pickle"])
def test_what_is_no_program_is_one_sentence(tmp_path, content):
    path = tmp_path / "net.pt2"
    if content is None:
        torch.save(nn.Linear(3, 2), path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="net.pt2 must (be a program saved by torch.export.save|hold one program)"):
        load_network(path)


class Touch:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def rewritten(path, change):
    """Write the archive anew with the records that ``change`` makes of the old ones."""
    with archive.PT2ArchiveReader(str(path)) as reader:
        own = {".data/version", ".data/serialization_id", "byteorder"}
        records = {name: reader.read_bytes(name) for name in reader.get_file_names() if name not in own}
    change(records)
    buffer = io.BytesIO()
    with archive.PT2ArchiveWriter(buffer) as writer:
        for name, content in records.items():
            writer.write_bytes(name, content)
    path.write_bytes(buffer.getvalue())


def pickled(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def edited(records, name, change):
    content = json.loads(records[name])
    change(content)
    records[name] = json.dumps(content).encode()


def in_program(change):
    return lambda records, mark: edited(records, "models/model.json", lambda program: change(program, mark))


def graph(program):
    return program["graph_module"]["graph"]


def hostile_weight(records, mark):
    name = "data/weights/model_weights_config.json"
    edited(records, name, lambda c: next(iter(c["config"].values())).update(use_pickle=True, path_name="weight_9"))
    records["data/weights/weight_9"] = pickled(Touch(mark))


def hostile_constant(records, mark):
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    edited(records, "data/constants/model_constants_config.json", lambda c: c["config"].update(c=entry))
    records["data/constants/opaque_obj_0"] = pickle.dumps(Touch(mark))


def hostile_size(program, mark):
    sizes = graph(program)["tensor_values"]["input"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(mark)!r}) or Symbol('s0')"


def hostile_operator(program, mark):
    node = graph(program)["nodes"][0]
    node["target"] = "torch.os.mkdir"
    node["inputs"] = [{"name": "path", "arg": {"as_string": str(mark)}, "kind": 1}]


def hostile_name(program, mark):
    text = json.dumps(program).replace('"input"', json.dumps(f"x=__import__('os').mkdir({str(mark)!r})"))
    program.clear()
    program.update(json.loads(text))


def hostile_spec(program, mark):
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    factory = {"default_factory_module": "os", "default_factory_name": "mkdir", "dict_context": [str(mark)]}
    spec = {"type": "collections.defaultdict", "context": json.dumps(factory), "children_spec": []}
    signature["out_spec"] = json.dumps([1, spec])


HOSTILE = {
    "sample inputs": (lambda r, mark: r.update({"data/sample_inputs/model.pt": pickled((Touch(mark),))}), None),
    "a pickled weight": (hostile_weight, "raw tensors alone"),
    "a pickled constant": (hostile_constant, "raw tensors alone"),
    "weights of an older torch": (lambda r, mark: r.update({"data/weights/model.pt": pickled(Touch(mark))}), None),
    "machine code": (lambda r, mark: r.update({"data/aotinductor/model/a.so": b""}), "no machine code"),
    "a second program": (lambda r, mark: r.update({"models/other.json": r["models/model.json"]}), "one program"),
    "a size": (in_program(hostile_size), "sizes as arithmetic"),
    "a guard": (
        in_program(lambda p, mark: p["guards_code"].append(f"__import__('os').mkdir({str(mark)!r})")),
        "sizes as arithmetic",
    ),
    "an operator": (
        in_program(hostile_operator),
        "operators of torch that compute tensors alone, got 'torch.os.mkdir'",
    ),
    "a file": (
        in_program(lambda p, mark: graph(p)["nodes"][0].update(target="torch.ops.aten.from_file.default")),
        "operators of torch",
    ),
    "a name": (in_program(hostile_name), "plain names"),
    "a container": (in_program(hostile_spec), "tensors in tuples, lists and dictionaries"),
}


@pytest.mark.parametrize("change, said", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_an_archive_is_executed(tmp_path, change, said):
    """Each is refused, or left out of what is read; torch's own reader leaves the mark for the pickles among them."""
    path, mark = tmp_path / "net.pt2", tmp_path / "mark"
    net = saved(nn.Linear(3, 2), path)
    rewritten(path, lambda records: change(records, mark))
    if said is None:
        assert torch.allclose(load_network(path)(X), net(X))
    else:
        with pytest.raises(ValueError, match=f"net.pt2 must hold .*{said}"):
            load_network(path)
    assert not mark.exists()


@pytest.mark.parametrize("case", ["sample inputs", "a pickled constant"])
def test_the_reader_of_torch_would_have_executed_it(tmp_path, case):
    """The reason why it is not called on the file itself; if this fails, torch has become safer."""
    path, mark = tmp_path / "net.pt2", tmp_path / "mark"
    saved(nn.Linear(3, 2), path)
    rewritten(path, lambda records: HOSTILE[case][0](records, mark))
    try:
        torch.export.load(path)
    except Exception:  # noqa: BLE001, S110
        pass
    assert mark.exists()


def test_kept_curves_of_a_program_are_kept(tmp_path):
    """A program stays as it is, so that its regressors are fitted once."""
    saved(nn.Linear(3, 2), tmp_path / "net.pt2")
    ace = AverageCausalEffect(load_network(tmp_path / "net.pt2"), InputDistribution.fit(X, domain=(-4, 4)))
    first = ace.cached()
    assert ace.cached() is first
