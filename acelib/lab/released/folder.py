"""The folder of released code and networks that a reader names, and the fingerprints of the files that we read.

The repository states no licence, so nothing of it ships with this book. A reader who has a clone names it in the
environment variable ``ACELIB_RELEASED``. A file is used only if its SHA-256 is the recorded one: then it is, byte for
byte, the file that the sentences of the chapters are about.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from acelib.lab.datasets.registry import DataError

VARIABLE = "ACELIB_RELEASED"
ADDRESS = "https://github.com/Piyushi-0/ACE"
COMMIT = "579278fb1a33247e0ead58c2d5982e86b7b2f623"
FILES = {
    "Models/iris_double_model_8": "d73af41d752c833a3ae5b07486ee21b7d32a4162df169c848c98e64e3690bf03",
    "Models/toy_lstm_trained_model": "f1b26dccc4550648fae46591983c040c580ab7d829c6e5df17f3675dfa28051e",
    "Models/toy_output_layer_trained_model": "11570ccc60199e6cf04947ee2c4b56893a2bd040c37e4a94892bc615b4a06e9a",
    "Models/lstm_trained_model": "46d60ab561f7df83c881e672a69e92781e047cf4e270e8e0d246208458bba058",
    "Models/output_layer_trained_model": "9ec82a5f5443da83fc88b6f68c36425c7b031b56c8b492d36463649ad5f4f80a",
    "Codes/Iris/ACE.ipynb": "d8e0d537c908fdb67e8c2fa1591c3ff1725dd66661263d49f661b42966988246",
    "Codes/Iris/train.ipynb": "ba873c5877e499ec04a4d98de9a75faa35d40768898805327ecc8e276c197760",
    "Codes/Iris/decision_tree.py": "72595748dec32a5237d923131f53199cb5c03b31a3953fcc2bb1e20fd042276a",
    "Codes/Synthetic Dataset/toy_dataset.ipynb": "dd051d00861c5df2ec2923f7a13b0a424810dd80a4e74f40622a625b8d038fcd",
    "Codes/Synthetic Dataset/evaluate_lstm.py": "638f451e37dee017a32c62a83c4eadbac01f9301ffbb49da592bbb2f3241cebc",
    "Codes/Aircraft/lstm.py": "1057163b43e02a0f9c194e61e580f0f6b486be1c1cb1effd4318915e0378df8e",
    "Codes/Aircraft/find_tau.py": "e1c146bfdb2827f893a088c97d547347d12949550d784afbd25f876d9b2dd943",
    "Codes/Aircraft/aircraft_causal_interventions.py": (
        "417ab57e524a47c367d0495f369540db14f66f44231c64c782ff0ed0ef9d3f9a"
    ),
    "Codes/Aircraft/learn_causal_regressors.py": "d2bc1f9fc7d575ff57b43edd1ebd8fbfcf0491c3229c89c82baba4f8b785e380",
    "Codes/Aircraft/causal_analysis_final.py": "1b565d9107f010c651b9d709fd7979755ecb406fe5f7aabe48cf8ba9d42f8612",
    "Codes/Aircraft/feature_mins.npy": "e9371345e3c925a444f474e2958c50d1daf86a5cad07a9385662ae0160670f1f",
    "Codes/Aircraft/feature_maxs.npy": "6e0afa74b5a681b7eee216ba2f541aa1c021d06c5d76a2a776a4f47115336e73",
    "Codes/Aircraft/headers.csv": "3d7c832c21f79bbcf034a8e62e4aa23b036e0eb28396c6d45918dc9307409972",
}
"""Path below the clone to SHA-256, of every file that a sentence of the book is about."""


def is_named() -> bool:
    """Return whether the environment variable ``ACELIB_RELEASED`` names a folder.

    Example:
        >>> assert is_named() in (True, False)
    """
    return bool(os.environ.get(VARIABLE))


def released_file(name: str, *, folder: str | Path | None = None) -> Path:
    """Return the path of one released file, after its bytes were compared with the recorded SHA-256.

    Args:
        name: its path below the clone, one of ``FILES``.
        folder: the clone; default the one named by ``ACELIB_RELEASED``.

    Raises:
        DataError: if no folder is named, the file is missing, or it is another one.
        ValueError: for a name that is not in ``FILES``.
    """
    if name not in FILES:
        raise ValueError(f"name must be one of {', '.join(FILES)}, got {name!r}")
    named = folder or os.environ.get(VARIABLE)
    remedy = f"name a clone of {ADDRESS} at commit {COMMIT} in {VARIABLE}"
    if not named:
        raise DataError(f"{VARIABLE} must be set for {name}, got nothing; {remedy}")
    path = Path(named).expanduser() / name
    if not path.is_file():
        raise DataError(f"folder must hold {name}, got {named} without it; {remedy}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != FILES[name]:
        raise DataError(f"{name} must have SHA-256 {FILES[name]}, got {found}; {remedy}")
    return path
