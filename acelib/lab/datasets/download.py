"""One download, with limits: no more bytes than the file has, and no address that stalls or only drips.

The checksum tells afterwards whether the right bytes came. The limits tell before, so that a server that never ends
fills no disk and holds nobody up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from acelib._optional import optional

SLOWEST = 5_000  # bytes a second, on average since the start
_BLOCK = 1 << 16


class Refused(Exception):
    """The end of a download that is not worth going on with; the message says why."""


def receive(url: str, path: str | os.PathLike, *, size: int, timeout: float) -> None:
    """Write what an address delivers to a file.

    Args:
        url: the address, ``https://…``.
        path: the file to write; whoever calls removes it after an error.
        size: bytes that the file has; what is longer is refused at the first byte too many.
        timeout: seconds without an answer or a byte after which the address counts as dead, and seconds after which
            an average below ``SLOWEST`` bytes a second counts as too slow.

    Raises:
        Refused: if too much, too little or nothing more comes, or it comes too slowly.
        requests.RequestException: if there is no answer, or it is an error.
    """
    requests = optional("requests", "a download")
    started, count = time.monotonic(), 0
    with requests.get(url, stream=True, timeout=timeout) as answer, open(path, "wb") as file:
        answer.raise_for_status()
        for block in _blocks(answer, timeout):
            file.write(block)
            count, seconds = count + len(block), time.monotonic() - started
            if count > size:
                raise Refused(f"longer than the {size} bytes that were expected; stopped and removed")
            if seconds > timeout and count < SLOWEST * seconds:
                raise Refused(f"too slow, {count} of {size} bytes in {seconds:.1f} s; stopped and removed")


def _blocks(answer: Any, timeout: float) -> Iterator[bytes]:
    """Yield what has arrived, as it arrives: a whole block would wait for ever where bytes only drip."""
    broken = optional("urllib3", "a download").exceptions
    arrived = getattr(answer.raw, "read1", None)  # urllib3 2
    try:
        while block := arrived(_BLOCK, True) if arrived else answer.raw.read(1 << 10, True):
            yield block
    except broken.ReadTimeoutError:
        raise Refused(f"no byte for {timeout:g} s; stopped and removed") from None
    except broken.ProtocolError:
        raise Refused("truncated, the connection closed early; removed") from None
    except broken.HTTPError as error:
        raise Refused(f"it broke ({type(error).__name__}); removed") from None
