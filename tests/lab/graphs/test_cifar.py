"""The residual network's study, on made-up photographs that are easy to learn, and on the real ones where they are."""

import os

import pytest
import torch

from acelib.lab.datasets import Dataset
from acelib.lab.graphs import cifar
from acelib.lab.graphs.cifar import cifar_study, train_residual


def made_up(rows: int, seed: int) -> Dataset:
    """Three classes of 16×16 colour noise around three random pictures."""
    templates = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    y = torch.arange(rows) % 3
    noise = torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return Dataset("made up", (templates[y] + 0.3 * noise).clamp(0, 1), y, (), ("a", "b", "c"))


@pytest.fixture(scope="module")
def study():
    return cifar_study(classes=(0, 2), width=2, epochs=6, draws=2, data=(made_up(240, 2), made_up(60, 3)))


def test_study(study):
    """Shapes, shares between 0 and 1, and the accuracy before masking is that of the network, class by class."""
    model = train_residual(made_up(240, 2), width=2, epochs=6)
    test = made_up(60, 3)
    with torch.no_grad():
        right = model(test.X).argmax(1) == test.y
    assert not model.training and study.accuracy == pytest.approx(right.double().mean().item(), abs=1e-9)
    assert study.accuracy > 0.8
    for i, target in enumerate((0, 2)):
        assert study.untouched[i].item() == pytest.approx(right[test.y == target].double().mean().item(), abs=1e-6)
    assert study.classes == (0, 2) and set(study.own) == set(study.others) == set(cifar.RANKINGS)
    assert all(v.shape == (2,) and 0 <= v.min() and v.max() <= 1 for v in (*study.own.values(), *study.others.values()))
    assert ((study.necessary > 0) & (study.necessary < 1)).all() and (study.seconds > 0).all()
    assert "classes (0, 2)" in repr(study)


def test_masking_all_necessary_nodes_hurts_more_than_a_random_share():
    """With every necessary node of every layer gone, the class falls at least as far as with none."""
    whole = cifar_study(classes=(1,), share=1.0, width=2, epochs=6, draws=1, data=(made_up(240, 2), made_up(60, 3)))
    assert whole.own["necessary"][0] < whole.untouched[0]


@pytest.mark.skipif("ACELIB_DATA" not in os.environ, reason="ACELIB_DATA does not name a folder with the real files")
def test_real_images_are_found(monkeypatch):
    """The default data are the partial CIFAR-10: the study is handed 10,000 and 1,000 images of 32×32."""
    seen = {}

    def stop(learn, **options):
        seen.update(n=len(learn), shape=tuple(learn.X.shape[1:]), dtype=learn.X.dtype)
        raise KeyboardInterrupt

    monkeypatch.setattr(cifar, "train_residual", stop)
    with pytest.raises(KeyboardInterrupt):
        cifar_study()
    assert seen == {"n": 10_000, "shape": (3, 32, 32), "dtype": torch.float32}
