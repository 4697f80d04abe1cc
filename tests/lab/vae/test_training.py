"""Training of the conditional β-VAE against ``torch.optim`` in a literal loop, killed against whole, and in small."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from helpers import made_up_digits
from safetensors import safe_open

from acelib.lab import home, shipping
from acelib.lab.datasets import Dataset, load_digits8
from acelib.lab.networks import stream
from acelib.lab.training import FlatAdam, FlatParameters, TrainingState, load_state, save_state
from acelib.lab.vae import SHIPPED, ConditionalVae, Recipe, load_vae, train_small_vae
from acelib.lab.vae import training as vae_training
from acelib.lab.vae.training import BATCH_SIZE, train_checkpoints, train_vae

DIGITS = load_digits8()
X, Y = DIGITS.X.flatten(1).float()[:200], DIGITS.y[:200]
TINY = {"pixels": 64, "latents": 3, "hidden": (16, 8)}
SHORT = {"beta": 2.0, "iterations": 30, "lr": 1e-3, "batch_size": 32, "seed": 5}  # 6 steps an epoch


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def images() -> tuple[Dataset, Dataset]:
    """Ten blurred random pictures of 28×28 under noise, 300 rows to learn and 100 to test."""
    return made_up_digits()


@pytest.fixture
def short(monkeypatch):
    """Profiles of 12 and 8 steps, three epochs and two."""
    monkeypatch.setattr(vae_training, "PROFILES", {"quick": (8, 256), "full": (12, None)})


def test_equals_a_literal_loop():
    """PyTorch's Adam, its cross-entropy and its KL of normals, the same order and noise: weights and losses."""
    model = ConditionalVae(**TINY, seed=2)
    expected = ConditionalVae(**TINY, seed=2)
    optimizer = torch.optim.Adam(expected.parameters(), lr=1e-3)
    order, noise, history = stream(5, 13), stream(5, 14), []
    for _ in range(5):
        losses, rows = [], torch.randperm(200, generator=order)
        for start in range(0, 192, 32):  # eight rows are left over
            x, y = X[rows[start : start + 32]], Y[rows[start : start + 32]]
            c = F.one_hot(y, 10).float()
            mean, log_variance = expected.encoder(torch.cat([x, c], 1)).split(3, 1)
            q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
            z = q.mean + q.stddev * torch.randn(32, 3, generator=noise)
            logits = expected.decoder(torch.cat([z, c], 1))
            kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
            loss = (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + 2 * kl.sum()) / 32
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history.append(sum(losses) / 6)
    before = weights(model)
    result = train_vae(model, X, Y, **SHORT)
    assert torch.equal(weights(model), before)
    assert (weights(result.model) - weights(expected)).abs().max() < 1e-6
    assert (weights(result.model) - before).abs().max() > 0.01
    assert (result.history - torch.tensor(history)).abs().max() < 1e-4
    assert result.steps == 30 and result.seconds > 0


def test_seed_decides(tmp_path):
    """The same seed, the same weights; another one, others; the global generator is left alone."""
    state = torch.get_rng_state()
    first, again = (train_vae(ConditionalVae(**TINY), X, Y, **SHORT).model for _ in range(2))
    other = train_vae(ConditionalVae(**TINY), X, Y, **{**SHORT, "seed": 6}).model
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("iterations", [30, 27])
def test_interrupted_training_goes_on(iterations, tmp_path, monkeypatch):
    """Killed in the third epoch and called again: three more epochs, and the same weights and history, bit by bit."""
    options, path = {**SHORT, "iterations": iterations}, tmp_path / "state.safetensors"
    whole = train_vae(ConditionalVae(**TINY), X, Y, **options)
    epoch, calls = vae_training._epoch, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(*args)

    monkeypatch.setattr(vae_training, "_epoch", killed)
    keep = {"checkpoint": path, "checkpoint_every": 0}
    with pytest.raises(KeyboardInterrupt):
        train_vae(ConditionalVae(**TINY), X, Y, **options, **keep)
    resumed = train_vae(ConditionalVae(**TINY), X, Y, **options, **keep)
    assert len(calls) == 3 + 3 and resumed.steps == iterations
    assert torch.equal(weights(whole.model), weights(resumed.model)) and torch.equal(whole.history, resumed.history)
    train_vae(ConditionalVae(**TINY), X, Y, **options, **keep)
    assert len(calls) == 6  # finished: nothing is trained again
    train_vae(ConditionalVae(**TINY), X, Y, **options, **keep, resume=False)
    assert len(calls) == 6 + 5
    with pytest.raises(ValueError, match="other settings .beta 2.0 there and 3.0 here.*resume=False"):
        train_vae(ConditionalVae(**TINY), X, Y, **{**options, "beta": 3}, **keep)


def test_killed_process_goes_on(tmp_path):
    """A process that is really killed (SIGKILL) while it trains leaves a state that leads to the same weights."""
    path = tmp_path / "state.safetensors"
    program = (
        "import runpy, sys; sys.path.insert(0, 'tests'); own = runpy.run_path(sys.argv[1])\n"
        "model, settings = own['ConditionalVae'](**own['TINY']), {**own['SHORT'], 'iterations': 10**7}\n"
        "own['train_vae'](model, own['X'], own['Y'], **settings, checkpoint=sys.argv[2], checkpoint_every=0)"
    )
    # the number of steps decides when to stop and nothing before that, so the long run's state is cut to 60 steps below
    process = subprocess.Popen([sys.executable, "-c", program, __file__, str(path)], cwd=home.root())
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()["json"])["settings"]
    model = ConditionalVae(**TINY)
    state = TrainingState(model, FlatAdam(FlatParameters(model), SHORT["lr"]), [torch.Generator(), torch.Generator()])
    load_state(path, state, settings)
    done = state.optimizer.steps
    assert done >= 6 and not list(tmp_path.glob("*.tmp"))
    save_state(path, state, {**settings, "iterations": done + 12})
    options = {**SHORT, "iterations": done + 12}
    resumed = train_vae(ConditionalVae(**TINY), X, Y, **options, checkpoint=path)
    whole = train_vae(ConditionalVae(**TINY), X, Y, **options)
    assert torch.equal(weights(whole.model), weights(resumed.model))


def test_loss_that_explodes_is_an_error():
    """A step as large as 1e18 ends in one sentence, not in NaN weights."""
    with pytest.raises(RuntimeError, match="the training loss became .* lower lr"):
        train_vae(ConditionalVae(**TINY), X, Y, **{**SHORT, "lr": 1e18})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": DIGITS.X[:200].float()}, r"X and y must be \(n, pixels\) and \(n,\), got \(200, 8, 8\) and \(200,\)"),
        ({"X": X * 16}, r"X must hold grey values in \[0, 1\], got 0 to 16"),
        ({"X": X.log()}, "X must hold grey values"),
        ({"y": Y.float()}, "y must hold integers"),
        ({"y": Y + 5}, "y must hold integers .* from 5 to 14"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 201}, "batch_size must be at most 200, the number of rows, got 201"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"beta": -1}, "beta must be at least 0, got -1"),
    ],
)
def test_bad_arguments(change, said):
    """Named in one sentence before anything is trained."""
    options = {"X": X, "y": Y, **SHORT, **change}
    with pytest.raises(ValueError, match=said):
        train_vae(ConditionalVae(**TINY), options.pop("X"), options.pop("y"), **options)


def test_checkpoints_of_made_up_images(images, short, tmp_path, monkeypatch):
    """Stored weights are float16 roundings; KL and loss are those of the rounded networks, by their definitions."""
    folders = {"folder": tmp_path / "a", "states": tmp_path / "b"}
    main, other = train_checkpoints([Recipe(10.0, 0), Recipe(10.0, 1)], data=images, **folders)
    assert main.encoder is not None and other.encoder is None and other.seed == 1 and main.beta == 10
    assert (folders["folder"] / f"{main.name}.safetensors").stat().st_size < 2_400_000
    own = {"lr": 1e-4, "batch_size": BATCH_SIZE, "iterations": 12, "beta": 10, "seed": 0}
    result = train_vae(ConditionalVae(seed=0), images[0].X.flatten(1), images[0].y, **own)
    for exact, stored in ((result.model.decoder, main.decoder), (result.model.encoder, main.encoder)):
        assert torch.equal(weights(exact).half().float(), weights(stored))
    x, c = images[1].X.flatten(1), F.one_hot(images[1].y, 10).float()
    with torch.no_grad():
        mean, log_variance = main.encoder(torch.cat([x, c], 1)).double().split(10, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn(100, 10, generator=stream(0, 15))
        losses = F.binary_cross_entropy_with_logits(
            main.decoder(torch.cat([z.float(), c], 1)).double(), x.double(), reduction="none"
        ).sum(1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    facts = main.provenance["test"]
    assert (main.kl - kl.mean(0)).abs().max() < 1e-9 and (main.kl_stderr - kl.std(0) / 10).abs().max() < 1e-9
    assert abs(facts["reconstruction"] - losses.mean().item()) < 1e-3 and facts["rows"] == 100
    assert abs(facts["elbo"] + (losses + kl.sum(1)).mean().item()) < 1e-3
    assert abs(facts["elbo_stderr"] - (losses + kl.sum(1)).std().item() / 10) < 1e-3
    assert (main.class_means[3] - images[0].X.flatten(1)[3::10].mean(0)).abs().max() < 1e-6
    assert torch.equal(main.class_frequencies, torch.full((10,), 0.1, dtype=torch.float64))
    assert main.provenance["data"]["fingerprint"]["training"] == images[0].fingerprint


def test_places(images, short, tmp_path, monkeypatch):
    """Shipped networks go to ``data``, others to ``_build``, and quick ones where nobody takes them for full ones."""
    monkeypatch.setattr(home, "data_dir", lambda: tmp_path / "data")
    monkeypatch.setattr(home, "build_dir", lambda: tmp_path / "_build")
    train_checkpoints([Recipe(4.0, 0), Recipe(4, 7)], data=images)
    train_checkpoints([Recipe(4.0, 0)], data=images, profile="quick")
    found = {str(p.parent.relative_to(tmp_path)): p.name for p in tmp_path.rglob("checkpoints*/*")}
    assert found == {
        "data/checkpoints": "mnist-vae-b4-s0.safetensors",
        "_build/checkpoints": "mnist-vae-b4-s7.safetensors",
        "_build/checkpoints-quick": "mnist-vae-b4-s0.safetensors",
    }
    assert load_vae(beta=4, seed=7).encoder is not None


def test_bad_recipes():
    """Before MNIST is asked for."""
    with pytest.raises(ValueError, match="profile must be 'quick' or 'full', got 'huge'"):
        train_checkpoints(profile="huge")
    for recipe in (Recipe(-1.0, 0), Recipe(1.0, -2), Recipe(1.0, 0, 0.0)):
        with pytest.raises(ValueError, match="recipes must have beta >= 0, seed >= 0 and lr > 0"):
            train_checkpoints([recipe])


def test_command_line(images, short, tmp_path, monkeypatch, capsys):
    """Each network is printed with its test bound; without a beta all that ship are made; errors are one line."""
    monkeypatch.setattr(shipping, "load_mnist", lambda part, dtype: images[part == "test"])
    monkeypatch.setattr(home, "build_dir", lambda: tmp_path)
    assert vae_training.main(["--beta", "2", "--seeds", "3", "4", "--lr", "0.001", "--profile", "quick"]) == 0
    printed = capsys.readouterr().out
    assert "mnist-vae-b2-s3-lr0.001" in printed and "mnist-vae-b2-s4-lr0.001" in printed and "test ELBO -" in printed
    assert len(load_vae("mnist-vae-b2-s3-lr0.001", folder=tmp_path / "checkpoints-quick").provenance["data"]) > 3
    assert vae_training.main(["--profile", "quick"]) == 0
    assert {p.stem for p in (tmp_path / "checkpoints-quick").iterdir()} >= {recipe.name for recipe in SHIPPED}
    assert vae_training.main(["--beta", "-1"]) == 1
    assert "recipes must have beta >= 0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def small():
    """The small network as a chapter trains it."""
    return train_small_vae(seed=0)


def test_small_network_learns(small):
    """A bound better than each digit's mean image; the mean of its decoded digits looks like the class asked for."""
    assert small.shape == (8, 8) and small.latents == 4 and small.encoder is not None
    assert small.kl.max() > 0.2 and small.active and "digits-vae-b1-s0" in repr(small)
    with torch.no_grad():
        z = torch.randn(400, 4, generator=torch.Generator().manual_seed(1))
        drawn = torch.stack([small.pixels(torch.cat([z, torch.eye(10)[[d] * 400]], 1)).mean(0) for d in range(10)])
    match = torch.corrcoef(torch.cat([drawn, small.class_means]))[:10, 10:]
    assert torch.equal(match.argmax(1), torch.arange(10)) and match.diagonal().min() > 0.95
    means = small.class_means.double().clamp(1e-4, 1 - 1e-4)[DIGITS.y]
    pixels = DIGITS.X.flatten(1)
    baseline = F.binary_cross_entropy(means, pixels, reduction="none").sum(1).mean().item()
    assert -small.provenance["test"]["elbo"] < baseline - 0.3


def test_small_network_is_repeatable():
    """Two short trainings agree bit by bit, another seed differs; settings are in the provenance."""
    first, again, other = (train_small_vae(iterations=20, seed=s, beta=3) for s in (1, 1, 2))
    assert torch.equal(weights(first.decoder), weights(again.decoder)) and first.seed == 1 and first.beta == 3
    assert not torch.equal(weights(first.decoder), weights(other.decoder))
    assert first.provenance["settings"]["iterations"] == 20
    assert {p.dtype for p in first.decoder.parameters()} == {torch.float32}
