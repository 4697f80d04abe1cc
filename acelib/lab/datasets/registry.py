"""The download registry of the ``full`` profile: where each data file comes from, and its checksum.

``data/registry.json`` names every file with its addresses, size, checksum, source and licence. ``fetch`` looks for a
file in the folder that ``ACELIB_DATA`` names, then in the cache, then at each address in turn, and hands out a path
only after the checksum of the very file on disk was compared. A file is written under a temporary name and renamed
when it is whole, so no half file is ever read. Nothing is downloaded before ``fetch`` is called, and a download ends at
the registered size.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from acelib._optional import optional
from acelib._saved import write_whole
from acelib.lab import home
from acelib.lab.datasets.download import Refused, receive

VARIABLE = "ACELIB_DATA"
TIMEOUT = 30  # seconds without a byte before an address counts as dead
_BLOCK = 1 << 20


class DataError(RuntimeError):
    """The error for a data file that is unknown, missing, unreachable or not the one that the registry describes."""


def names() -> list[str]:
    """Return the names of all registered files, sorted, such as ``mnist/train-images-idx3-ubyte.gz``."""
    return sorted(_registry()["files"])


def entry(name: str) -> dict:
    """Return the entry of one file as a dictionary: size, checksum, addresses and the facts of its data set.

    The keys are ``bytes``, ``sha256`` or ``md5``, ``urls`` or ``from``, and the ``title``, ``source``, ``licence`` and
    ``citation`` of the data set.

    Args:
        name: one of ``names()``.

    Raises:
        DataError: if no such file is registered.

    Example:
        >>> from acelib.lab.datasets import registry
        >>> assert registry.entry("mnist/t10k-labels-idx1-ubyte.gz")["bytes"] == 4542
    """
    registry = _registry()
    if name not in registry["files"]:
        near = difflib.get_close_matches(str(name), registry["files"], n=3, cutoff=0.3)
        raise DataError(
            f"name must be a registered data file, got {name!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(registry['files']))}")
        )
    return {**registry["sets"][name.split("/")[0]], **registry["files"][name]}


def cache_dir(cache: str | os.PathLike | None = None) -> Path:
    """Return the folder that downloads go to: ``cache`` if given, else the user's cache folder for ``acelib``."""
    if cache is not None:
        return Path(cache)
    pooch = optional("pooch", "a download")
    return Path(pooch.os_cache("acelib"))


def fetch(name: str, *, mirrors: Sequence[str] | None = None, cache: str | os.PathLike | None = None) -> Path:
    """Return the path of one registered data file, complete and verified; download it where it is missing.

    Args:
        name: one of ``names()``.
        mirrors: addresses to try in turn; default: the registered ones.
        cache: folder for downloads; default: the user's cache folder.

    Raises:
        DataError: if the name is unknown, if ``ACELIB_DATA`` names no folder or holds another file under this name, or
            if no address delivers the right file. Nothing of a failed download is kept.
    """
    known = entry(name)
    local = _local(name, known)
    if local is not None:
        return local
    target, failures = cache_dir(cache) / name, []
    if target.is_file():
        problem = _problem(target, known)
        if problem is None:
            return target
        target.unlink()
        failures.append(f"the cached copy ({problem}; removed)")
    if "from" in known and mirrors is None:
        return _derive(name, known, fetch(known["from"], cache=cache), target)
    for url in known.get("urls", ()) if mirrors is None else mirrors:
        failure = _download(url, known, target)
        if failure is None:
            return target
        failures.append(f"{url} ({failure})")
    raise DataError(
        f"data file {name} is missing and no address delivered it: {'; '.join(failures) or 'none is registered'}; "
        f"nothing was kept, so set {VARIABLE} to a folder that holds it as {name}, or download it by hand to {target}"
    )


def checksum(path: str | os.PathLike, algorithm: str = "sha256") -> str:
    """Return the checksum of a file as hexadecimal digits, read block by block."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _registry() -> dict:
    path = home.data_file("registry.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"the download registry {path} cannot be read ({error}); restore it from the repository"
        raise DataError(message) from None


def _local(name: str, known: dict) -> Path | None:
    """Return the verified file in the folder that the user names, or None where that folder lacks it."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    if not Path(folder).expanduser().is_dir():
        raise DataError(f"{VARIABLE}={folder} is not a folder; let it name the folder that holds {name}, or unset it")
    path = Path(folder).expanduser() / name
    if not path.is_file():
        return None
    problem = _problem(path, known)
    if problem is not None:  # the folder is the user's: say what is wrong and leave it as it is
        raise DataError(f"data file {path} is {problem}; replace it, or unset {VARIABLE} to download the right one")
    return path


def _problem(path: Path, known: dict) -> str | None:
    """Return what is wrong with the file on disk, as text, or None."""
    size = path.stat().st_size
    if size < known["bytes"]:
        return f"truncated, {size} bytes where {known['bytes']} were expected"
    algorithm = "sha256" if "sha256" in known else "md5"
    got = checksum(path, algorithm)
    if got != known[algorithm]:
        return f"corrupt, {algorithm} {got} where {known[algorithm]} was expected"
    return None


def _download(url: str, known: dict, target: Path) -> str | None:
    """Download one address to the target; return None, or as text why it failed with nothing kept."""
    pooch, requests = optional("pooch", "a download"), optional("requests", "a download")

    def checked(address: str, temporary: str, _pooch: object) -> None:
        receive(address, temporary, size=known["bytes"], timeout=TIMEOUT)
        problem = _problem(Path(temporary), known)  # pooch compares too, but only says that the hash differs
        if problem is not None:
            raise ValueError(f"{problem}; removed")

    algorithm = "sha256" if "sha256" in known else "md5"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        pooch.retrieve(url, f"{algorithm}:{known[algorithm]}", target.name, target.parent, downloader=checked)
    except (ValueError, Refused) as error:
        return str(error)
    except requests.HTTPError as error:
        return f"the server answered {error.response.status_code}"
    except requests.Timeout:
        return f"no answer within {TIMEOUT} s"
    except requests.RequestException:
        return "no connection, or it broke"
    return None


def _derive(name: str, known: dict, parent: Path, target: Path) -> Path:
    """Take a member out of a downloaded archive, or the first bytes of a downloaded file, into the cache."""
    if "member" in known:
        try:
            with tarfile.open(parent) as archive:
                content = archive.extractfile(known["member"]).read()
        except (KeyError, tarfile.TarError, EOFError, OSError) as error:
            message = f"data file {name} cannot be taken out of {parent} ({error}); delete that archive and retry"
            raise DataError(message) from None
    else:
        with open(parent, "rb") as stream:
            content = stream.read(known["bytes"])
    write_whole(target, lambda temporary: temporary.write_bytes(content))
    problem = _problem(target, known)
    if problem is not None:
        target.unlink()
        raise DataError(f"data file {name}, taken out of {parent}, is {problem}; it was removed; delete {parent} too")
    return target
