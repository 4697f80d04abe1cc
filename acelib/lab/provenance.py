"""The device of a chapter, and its footer: versions, device, seed, the data's hash and the seconds since the start.

The footer names the device that computed, which is not every one that is there. It names no host, no user and no path,
and it is never compared between runs."""

from __future__ import annotations

import hashlib
import html
import os
import platform
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acelib._paper import PAPER
from acelib.lab.claims.cards import LINE
from acelib.lab.ledger import PROVENANCE_MIME, publish

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "numpy", "scipy", "acelib")
_IMPORTED = time.time()


def compute_device(profile: str) -> torch.device:
    """Return where a chapter makes its long computations: a GPU where there is one in a full run, else the CPU.

    A quick run stays on the CPU, which is what its stored numbers were made with. Where the GPU is taken, products in
    float32 keep all their digits: TF32, which rounds them to 10 bits, is switched off for the process. Apple's GPUs are
    left aside: they have no float64.

    Args:
        profile: ``"quick"`` or ``"full"``.

    Example:
        >>> assert compute_device("quick").type == "cpu"
    """
    import torch

    if profile != "full" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


def provenance(
    *,
    seed: int | None,
    profile: str,
    data: Any = None,
    started: float | None = None,
    device: torch.device | str | None = None,
) -> None:
    """Show the footer as the cell's one output (tag the cell ``nbval-ignore-output``).

    Args:
        seed: the seed that the chapter was run with.
        profile: ``"quick"`` or ``"full"``.
        data: what the chapter computed on: an array, a tensor, a table, a file's path, bytes, or a dictionary of them;
            only its hash is shown.
        started: when the run started, in seconds since the epoch; default: the start of this process.
        device: what computed, as ``compute_device`` returned it; default: the CPU.

    Example:
        >>> provenance(seed=0, profile="quick")  # doctest: +ELLIPSIS
        Python 3...
    """
    facts = describe(seed=seed, profile=profile, data=data, started=started, device=device)
    rows = _rows(facts)
    style = f"border-top:1px solid {LINE};padding-top:.5em;font-size:.9em;{PAPER}"
    body = "".join(
        '<span style="margin-right:1.2em;display:inline-block">'
        f'<span style="opacity:.75">{name}</span> {html.escape(text)}</span>'
        for name, text in rows
    )
    publish(
        {
            "text/plain": " · ".join(f"{name} {text}" for name, text in rows),
            "text/html": f'<footer style="{style}">{body}</footer>',
            PROVENANCE_MIME: facts,
        },
        {},
    )


def describe(
    *,
    seed: int | None,
    profile: str,
    data: Any = None,
    started: float | None = None,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """Return the footer's facts as plain JSON data: versions, device, threads, seed, profile, data hash, seconds."""
    import torch

    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "seed": seed,
        "profile": profile,
        "data": None if data is None else data_hash(data),
        "seconds": round(time.time() - (_process_start() if started is None else started), 1),
    }


def device_name(device: torch.device | str | None = None) -> str:
    """Return the name of the device that computed: of the processor for the CPU and by default, else of that device.

    Args:
        device: as torch names it, such as ``"cuda"``; None means the CPU.

    Example:
        >>> assert device_name() == device_name("cpu") == processor_name()
    """
    import torch

    kind = torch.device("cpu" if device is None else device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return processor_name() if kind.type == "cpu" else f"{kind.type} on {processor_name()}"


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("model name")]
    return next((name for name in named if name and name != "unknown"), platform.machine() + " processor")


def data_hash(data: Any) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of some data.

    Arrays count by dtype, shape and bytes, files by content.

    Example:
        >>> data_hash(b"abc")
        'ba7816bf8f01'
    """
    digest = hashlib.sha256()
    for piece in _pieces(data):
        digest.update(piece)
    return digest.hexdigest()[:12]


def _pieces(data: Any) -> Iterable[bytes]:
    if isinstance(data, bytes):
        yield data
    elif isinstance(data, (str, os.PathLike)):
        yield Path(data).read_bytes()
    elif isinstance(data, Mapping):
        for name in sorted(data):
            yield str(name).encode()
            yield from _pieces(data[name])
    elif isinstance(data, (list, tuple)) and not all(isinstance(x, (bool, int, float)) for x in data):
        for item in data:
            yield from _pieces(item)
    else:
        yield from _array_pieces(data)


def _array_pieces(data: Any) -> Iterable[bytes]:
    import numpy as np

    array = np.ascontiguousarray(data.detach().cpu() if hasattr(data, "detach") else data)
    if array.dtype == object:  # a table with texts: its objects have no bytes of their own
        yield repr((array.shape, array.tolist())).encode()
    else:
        yield f"{array.dtype.str}{array.shape}".encode()
        yield array.tobytes()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # on sys.path without being installed, as on Colab
        return "from source"


def _process_start() -> float:
    try:
        import psutil
    except ImportError:
        return _IMPORTED
    return psutil.Process().create_time()


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("Python" if name == "python" else name, text) for name, text in facts["versions"].items()]
    rows += [("device", facts["device"]), ("threads", str(facts["threads"])), ("profile", facts["profile"])]
    rows += [("seed", str(facts["seed"]))]
    if facts["data"] is not None:
        rows += [("data", facts["data"])]
    return [*rows, ("seconds", f"{facts['seconds']:.1f}")]
