"""One at a time: a lock on a file, which the operating system takes back when its holder ends, however it ends.

The file itself says nothing and may stay: no process number in it can grow stale, and nobody has to remove it after a
killed build.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class BusyError(ValueError):
    """A second run of what only one may do at a time."""


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file, made where missing, as long as the block runs.

    Args:
        path: the file.
        what: the run that holds it, e.g. "make book", for the message.

    Raises:
        BusyError: at once, if another process holds it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, alone(Path(folder, "build.lock"), "make book"):
        ...     assert Path(folder, "build.lock").exists()
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            _take(file.fileno())
        except OSError as error:
            raise BusyError(
                f"another run of {what} goes on in this folder and holds {path}; wait until it has ended, or stop it"
            ) from error
        yield


def _take(descriptor: int) -> None:
    """Keep the lock of an open file to this process: not for its children, which might outlive it."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def end_with_parent() -> None:
    """End this process, a worker of a build, as soon as the build has ended, even if that was killed.

    It would otherwise go on with its chapter beside the next build, which finds the lock free.
    """
    import multiprocessing
    import threading

    def wait() -> None:
        build = multiprocessing.parent_process()
        assert build is not None, "a worker has a parent"
        build.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
