"""Training against ``torch.optim`` in a literal loop, stacked against alone, interrupted against uninterrupted."""

import os
import signal
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from acelib.lab.datasets import load_digits8, load_iris, train_test_split
from acelib.lab.networks import Probabilities, mlp, stacked_mlp, stream
from acelib.lab.training import load_weights, loop, save_weights, train

IRIS = load_iris()
SHORT = {"lr": 0.01, "weight_decay": 1e-3, "batch_size": 16, "epochs": 6}


def _weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _literal(model, X, y, loss, optimizer, *, batch_size, epochs, seed, **options):
    """Reference: PyTorch's own optimiser, layer modules and mean losses, one batch after the other."""
    optimizer = optimizer(model.parameters(), **options)
    generator, history = stream(seed, loop.SHUFFLE_STREAM), []
    for _ in range(epochs):
        order, total = torch.randperm(len(X), generator=generator), 0.0
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            value = loss(model(X[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        history.append(total / len(X))
    return _weights(model), torch.tensor(history, dtype=X.dtype)


@pytest.mark.parametrize("batch_size", [1, 16, 32])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_equals_torch_optim(name, batch_size):
    """Weights and loss history against torch.optim to 1e-11 after up to 450 steps; a smaller last batch included."""
    reference = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    options = {"lr": 0.01, "weight_decay": 1e-3, "batch_size": batch_size, "epochs": 3, "seed": 4}
    expected, history = _literal(mlp((4, 8, 3), seed=1), IRIS.X, IRIS.y, F.cross_entropy, reference, **options)
    result = train(mlp((4, 8, 3), seed=1), IRIS.X, IRIS.y, optimizer=name, **options)
    assert (_weights(result.model) - expected).abs().max() < 1e-11
    assert (result.history - history).abs().max() < 1e-11
    assert result.steps == 3 * -(-150 // batch_size) and result.seconds > 0


def test_squared_error_and_own_loss():
    """Against torch.optim on the mean squared error of two outputs, and the same written as a callable; to 1e-11."""
    y = torch.stack([IRIS.X.sum(1), IRIS.X[:, 0] * IRIS.X[:, 1]], dim=1)
    options = {**SHORT, "seed": 0}
    expected, _ = _literal(
        mlp((4, 8, 2), seed=1, activation="tanh"), IRIS.X, y, F.mse_loss, torch.optim.Adam, **options
    )
    for loss in ("mse", lambda outputs, targets: (outputs - targets).square().mean(1)):
        result = train(mlp((4, 8, 2), seed=1, activation="tanh"), IRIS.X, y, loss=loss, **options)
        assert (_weights(result.model) - expected).abs().max() < 1e-11
    flat = train(nn.Sequential(mlp((4, 1), seed=1), nn.Flatten(0)), IRIS.X, y[:, 0], loss="mse", **options)
    assert flat.history[-1] < flat.history[0]


@pytest.mark.parametrize("batch_size", [1, 32])
def test_seeds_side_by_side_equal_seeds_alone(batch_size):
    """Three seeds stacked against each alone, as a stack of one and as a plain module: to 1e-12, history included."""
    options = {"lr": 3e-3, "weight_decay": 1e-4, "batch_size": batch_size, "epochs": 4}
    together = train(stacked_mlp((4, 8, 3), [5, 0, 3]), IRIS.X, IRIS.y, **options)
    for index, seed in enumerate((5, 0, 3)):
        ours = together.model.unstack()[index]
        one = train(stacked_mlp((4, 8, 3), [seed]), IRIS.X, IRIS.y, **options)
        plain = train(mlp((4, 8, 3), seed=seed), IRIS.X, IRIS.y, seed=seed, **options)
        for other, history in ((one.model.unstack()[0], one.history[0]), (plain.model, plain.history)):
            assert (_weights(ours) - _weights(other)).abs().max() < 1e-12
            assert (together.history[index] - history).abs().max() < 1e-12


def test_each_network_its_own_rows():
    """Rows (S, n, features): two training sets side by side give what each gives alone, to 1e-12."""
    parts = [train_test_split(IRIS, 30, seed=seed)[0] for seed in (1, 2)]
    X, y = torch.stack([part.X for part in parts]), torch.stack([part.y for part in parts])
    together = train(stacked_mlp((4, 8, 3), [1, 2]), X, y, **SHORT)
    for index, part in enumerate(parts):
        alone = train(mlp((4, 8, 3), seed=index + 1), part.X, part.y, seed=index + 1, **SHORT)
        assert (_weights(together.model.unstack()[index]) - _weights(alone.model)).abs().max() < 1e-12


def test_same_arguments_same_bits_and_seed_zero_is_a_seed():
    """Repeatable to the bit whatever the global generator; the seed matters; the given model stays as it was."""
    model = mlp((4, 8, 3), seed=1)
    before, state = _weights(model), torch.get_rng_state()
    first = train(model, IRIS.X, IRIS.y, **SHORT)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again, other = (_weights(train(model, IRIS.X, IRIS.y, seed=seed, **SHORT).model) for seed in (0, 1))
    assert torch.equal(_weights(first.model), again) and not torch.equal(again, other)
    assert torch.equal(_weights(model), before) and all(p.grad is None for p in first.model.parameters())


def test_rows_gathered_in_small_blocks(monkeypatch):
    """A bound of memory below one epoch changes nothing: the same bits."""
    whole = train(stacked_mlp((4, 8, 3), [1, 2]), IRIS.X, IRIS.y, **SHORT)
    monkeypatch.setattr(loop, "BLOCK_BYTES", 3000)
    blocks = train(stacked_mlp((4, 8, 3), [1, 2]), IRIS.X, IRIS.y, **SHORT)
    assert torch.equal(_weights(whole.model), _weights(blocks.model))


def test_digits_are_learned():
    """64-32-10 on the 8×8 digits: over 90 % of 360 held-out digits, for every one of three seeds."""
    train_part, test_part = train_test_split(load_digits8().flatten(), 360, seed=1, stratified=True)
    result = train(stacked_mlp((64, 32, 10), [0, 1, 2]), train_part.X, train_part.y, lr=3e-3, batch_size=64, epochs=30)
    right = (result.model(test_part.X).argmax(2) == test_part.y).double().mean(1)
    assert right.min() > 0.9 and result.history.shape == (3, 30)
    assert repr(result).startswith("TrainResult(690 steps in ") and " to " in repr(result)


class _Stop(Exception):
    pass


def _stopped(monkeypatch, model, path, *, after, **options):
    """Train with a checkpoint after every epoch and fail before the state of the epoch after ``after`` is written."""
    save, written = loop.save_state, []

    def failing(*arguments):
        if len(written) == after:
            raise _Stop
        written.append(1)
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", failing)
        with pytest.raises(_Stop):
            train(model, IRIS.X, IRIS.y, checkpoint=path, checkpoint_every=0, **options)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stacked", [True, False])
def test_interrupted_training_goes_on_bit_for_bit(monkeypatch, tmp_path, stacked, optimizer):
    """Stopped twice and continued: weights and history equal those of an uninterrupted run to the last bit."""
    path = tmp_path / "deep" / "state.safetensors"
    model = stacked_mlp((4, 8, 3), [1, 0]) if stacked else mlp((4, 8, 3), seed=1)
    options = {**SHORT, "optimizer": optimizer}
    whole = train(model, IRIS.X, IRIS.y, **options)
    _stopped(monkeypatch, model, path, after=2, **options)
    _stopped(monkeypatch, model, path, after=2, **options)
    resumed = train(model, IRIS.X, IRIS.y, checkpoint=path, **options)
    assert torch.equal(_weights(whole.model), _weights(resumed.model))
    assert torch.equal(whole.history, resumed.history) and whole.steps == resumed.steps
    assert list(path.parent.iterdir()) == [path]


def test_finished_training_is_read_back(monkeypatch, tmp_path):
    """A second call with the same settings takes no step; resume=False starts anew."""
    path = tmp_path / "state.safetensors"
    first = train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    again = train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    assert torch.equal(_weights(first.model), _weights(again.model)) and again.seconds == first.seconds
    anew = train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, resume=False, **SHORT)
    assert torch.equal(_weights(first.model), _weights(anew.model)) and anew.seconds != first.seconds


def test_buffers_are_part_of_the_state(monkeypatch, tmp_path):
    """Batch normalisation keeps running statistics: they are continued bit for bit too."""

    def model():
        return nn.Sequential(
            mlp((4, 8), seed=0), nn.BatchNorm1d(8, dtype=torch.float64), nn.ReLU(), mlp((8, 3), seed=1)
        )

    path = tmp_path / "state.safetensors"
    whole = train(model(), IRIS.X, IRIS.y, **SHORT)
    _stopped(monkeypatch, model(), path, after=3, **SHORT)
    resumed = train(model(), IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


KILLED = """
import os, signal, sys
from acelib.lab.datasets import load_iris
from acelib.lab.networks import stacked_mlp
from acelib.lab.training import loop, train
save, written = loop.save_state, []
def save_and_die(*arguments):
    save(*arguments)
    written.append(1)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
loop.save_state = save_and_die
iris = load_iris()
train(stacked_mlp((4, 8, 3), [1, 0]), iris.X, iris.y, lr=0.01, weight_decay=1e-3, batch_size=16, epochs=6,
      checkpoint=sys.argv[1], checkpoint_every=0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_process(tmp_path):
    """A process killed by the system after three epochs: another one ends with the bits of an uninterrupted run."""
    path = tmp_path / "state.safetensors"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=120, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL and path.exists()
    model = stacked_mlp((4, 8, 3), [1, 0])
    resumed = train(model, IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    assert torch.equal(_weights(resumed.model), _weights(train(model, IRIS.X, IRIS.y, **SHORT).model))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 0.02}, "lr 0.01 there and 0.02 here"),
        ({"epochs": 7, "batch_size": 8}, "batch_size 16 there and 8 here, epochs 6 there and 7 here"),
        ({"seed": 3}, r"seeds \[0\] there and \[3\] here"),
        ({"model": mlp((4, 5, 3))}, "another architecture"),
        ({"model": mlp((4, 3), seed=9)}, "initial weights [0-9a-f]+ there"),
        ({"X": IRIS.X * 2}, "data [0-9a-f]+ there"),
    ],
)
def test_checkpoint_of_other_settings(tmp_path, change, said):
    """The error names what differs, and the remedy; the file is left alone."""
    path = tmp_path / "state.safetensors"
    arguments = {"model": mlp((4, 3)), "X": IRIS.X, "y": IRIS.y, "checkpoint": path, **SHORT}
    train(**arguments)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"made with other settings .*{said}.*resume=False"):
        train(**{**arguments, **change})
    assert path.read_bytes() == before


def test_damaged_checkpoint(tmp_path):
    """Half a file, and a file of another kind, are told apart from a state."""
    path = tmp_path / "state.safetensors"
    train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="got no complete safetensors file .* make it anew"):
        train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, **SHORT)
    save_weights(mlp((4, 3)), path)
    with pytest.raises(ValueError, match="must hold acelib training state 1, got acelib weights 1"):
        train(mlp((4, 3)), IRIS.X, IRIS.y, checkpoint=path, **SHORT)


def test_weights_round_trip(tmp_path):
    """Bits and metadata come back; a stack works as well as a module."""
    for make in (lambda seed: mlp((4, 8, 3), seed=seed), lambda seed: stacked_mlp((4, 8, 3), [seed, seed + 1])):
        saved, loaded = make(1), make(5)
        save_weights(saved, tmp_path / "w.safetensors", {"seed": 1, "note": "ü"})
        assert load_weights(loaded, tmp_path / "w.safetensors") == {"seed": 1, "note": "ü"}
        assert torch.equal(_weights(saved), _weights(loaded))


def test_weights_errors(tmp_path):
    """Missing, foreign and ill-fitting files; the model is unchanged after each."""
    path, model = tmp_path / "w.safetensors", mlp((4, 8, 3))
    before = _weights(model)
    with pytest.raises(ValueError, match="w.safetensors, which is no file"):
        load_weights(model, path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="must hold acelib weights 1, got tensors of another program"):
        load_weights(model, path)
    save_weights(mlp((4, 8, 2)), path)
    with pytest.raises(ValueError, match="architecture .* differ in 2.bias, 2.weight"):
        load_weights(model, path)
    assert torch.equal(_weights(model), before)


def test_progress_goes_to_stderr_only_when_asked(capfd):
    """No output by default; with progress=True a bar on standard error and nothing on standard output."""
    train(mlp((4, 3)), IRIS.X, IRIS.y, **SHORT)
    assert capfd.readouterr() == ("", "")
    train(mlp((4, 3)), IRIS.X, IRIS.y, progress=True, **SHORT)
    out, err = capfd.readouterr()
    assert out == "" and "training" in err and "6/6" in err


def test_divergence_is_an_error():
    """A learning rate far too large ends in the epoch where the loss overflows, not in NaN weights."""
    with pytest.raises(RuntimeError, match=r"training loss became \[(nan|inf)\] by step \d+; lower lr"):
        train(mlp((4, 8, 1)), IRIS.X, IRIS.X[:, :1], loss="mse", optimizer="sgd", lr=1e200, epochs=9)


NAN = torch.full_like(IRIS.X, torch.nan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd, got 'lion'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, got -1"),
        ({"lr": 0.0}, "lr must be a positive number, got 0.0"),
        ({"lr": torch.nan}, "lr must be a positive number, got nan"),
        ({"loss": "hinge"}, "loss must be one of cross_entropy, mse or a callable, got 'hinge'"),
        ({"loss": lambda outputs, y: outputs.sum()}, r"loss must return one loss per row, got shape \(\) for 2 rows"),
        ({"loss": "mse"}, r"y must have the shape of the outputs, \(2, 3\), got \(2,\)"),
        ({"seed": [1, 2]}, r"seed must be 1 non-negative .* got \[1, 2\]"),
        ({"seed": -1}, r"seed must be 1 non-negative .* got \[-1\]"),
        ({"X": IRIS.X.float()}, "must share dtype and device, got torch.float32 on cpu, cpu and torch.float64"),
        ({"X": IRIS.X[:-1]}, r"same number of rows, at least 1, got \(149, 4\) and \(150,\)"),
        ({"X": IRIS.X[:0], "y": IRIS.y[:0]}, "at least 1"),
        ({"X": NAN}, "X must be finite, got NaN"),
        ({"y": IRIS.y + 1}, "y must hold integer classes .* from 0 to 2, .* got torch.int64 from 1 to 3"),
        ({"y": IRIS.y.double()}, "y must hold integer classes .* got torch.float64"),
        ({"model": nn.ReLU()}, "model must have a parameter that requires a gradient"),
        (
            {"model": mlp((4, 3), output="softmax")},
            "model must return logits for loss='cross_entropy', got probabilities",
        ),
        ({"model": stacked_mlp((4, 3), [0], output="softmax")}, "got probabilities"),
        ({"model": Probabilities(mlp((4, 3)))}, "got probabilities"),
        (
            {"model": nn.Sequential(mlp((4, 3)), nn.Dropout(0.5))},
            "must not drop units at random, got dropout in training mode",
        ),
        ({"model": nn.RNN(4, 3, dtype=torch.float64)}, "must return one tensor .* got tuple"),
        ({"model": nn.RNN(4, 3, 2, dropout=0.5, dtype=torch.float64)}, "must not drop units at random"),
    ],
)
def test_errors_before_any_work(change, said, monkeypatch):
    """One sentence each, raised before the first step."""
    monkeypatch.setattr(loop, "run_epochs", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(ValueError, match=said):
        train(**{"model": mlp((4, 3)), "X": IRIS.X, "y": IRIS.y, **change})


def test_arrays_are_refused():
    """A numpy array gets a TypeError that names the remedy."""
    with pytest.raises(TypeError, match="X must be a tensor, got ndarray; torch.as_tensor makes one"):
        train(mlp((4, 3)), IRIS.X.numpy(), IRIS.y)
