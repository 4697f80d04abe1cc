"""Files as a user has them: exported networks and tables, made once for all tests of the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import network, table
from network_files import IRIS, exported

from acelib.command import main


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with iris.pt2 (float64, three probabilities), single.pt2 (float32, logits), product.pt2 and tables."""
    folder = tmp_path_factory.mktemp("files")
    exported(network(4), 4, folder / "iris.pt2")
    exported(network(4)[:-1].float(), 4, folder / "single.pt2", dtype=torch.float32)

    class Product(torch.nn.Module):
        def forward(self, x):
            return (x[:, 0] * x[:, 1]).unsqueeze(1)

    exported(Product(), 2, folder / "product.pt2")
    frame = pd.DataFrame(table("iris").numpy(), columns=IRIS)
    frame.to_csv(folder / "numbers.csv", index=False)
    frame["species"] = np.repeat(["setosa", "versicolor", "virginica"], 50)
    frame["plot"] = np.arange(150) % 15
    frame.to_csv(folder / "iris.csv", index=False)
    return folder


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a command with its results in an empty folder; gives exit code, what was said, and the JSON if there is."""

    def call(*words, out="out"):
        out = tmp_path / out
        code = main(["effects", *map(str, words), "--out", str(out)])
        said = capsys.readouterr()
        path = out / "effects.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return code, said, content

    return call
