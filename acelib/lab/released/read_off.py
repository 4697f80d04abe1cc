"""Numbers that were read off the released code, each with its file and the characters by which it is found there."""

from __future__ import annotations

from dataclasses import dataclass

_SEQUENCES, _EVALUATE = "Codes/Synthetic Dataset/toy_dataset.ipynb", "Codes/Synthetic Dataset/evaluate_lstm.py"


@dataclass(frozen=True)
class Reading:
    """A number in the released code.

    Attributes:
        what: what it is.
        value: the number.
        token: the characters that stand for it in the file.
        file: the file, below the clone.
    """

    what: str
    value: float
    token: str
    file: str


READ = (
    Reading("learning rate of Adam, Iris", 3e-4, "0.0003", "Codes/Iris/train.ipynb"),
    Reading("weight decay, Iris", 1e-4, "1e-4", "Codes/Iris/train.ipynb"),
    Reading("epochs, Iris", 500, "500", "Codes/Iris/train.ipynb"),
    Reading("flowers held out, Iris", 30, "30", "Codes/Iris/train.ipynb"),
    Reading("values of α of each curve, Iris", 1000, "1000", "Codes/Iris/ACE.ipynb"),
    Reading("leaves of the tree, Iris", 3, "max_leaf_nodes=3", "Codes/Iris/decision_tree.py"),
    Reading("learning rate of gradient descent, sequences", 1e-3, "0.001", _SEQUENCES),
    Reading("diagonal of the covariance, sequences (0.2 is the noise's standard deviation)", 0.2, "*0.2", _SEQUENCES),
    Reading("steps of integrated gradients, sequences", 5000, "5000", _SEQUENCES),
    Reading("standard deviation of the imputed values, sequences", 0.2, "0.0,0.2", _EVALUATE),
    Reading("sequences of the imputation check", 10_000, "10000", _EVALUATE),
    Reading("learning rate of Adam, flights", 3e-4, "0.0003", "Codes/Aircraft/lstm.py"),
    Reading("hidden units, flights", 15, "num_hidden = 15", "Codes/Aircraft/lstm.py"),
    Reading("threshold of the size of the determinant, flights", 1e-150, "1e-150", "Codes/Aircraft/find_tau.py"),
    Reading("step whose inputs are asked for, flights", 100, "100", "Codes/Aircraft/find_tau.py"),
    Reading("values of α of each curve, flights", 100, "100", "Codes/Aircraft/aircraft_causal_interventions.py"),
)
"""Read off the files whose SHA-256 is in ``folder.FILES``."""

EARLIER = {
    "what": "the grid of α behind the baselines printed in toy_dataset.ipynb: 100 values from -1.5 to 1.5",
    "commit": "a01a87a1feead6762a4e70669a5585dc76a9baa6",
    "file": "codes/Synthetic_Dataset/toy_causal.py",
    "sha256": "a3dc16740718a09a755f3f1a41325ba7ecbbe74a49d5bd1db27eb963b0252d2a",
}
"""An earlier version of the repository, whose file is gone from the commit of the other facts."""
