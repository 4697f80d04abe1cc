"""The loopback interface, switched on where it is off.

Jupyter talks to its kernels, and a browser test to its browser, over 127.0.0.1. A machine without a network still has
that interface; a bare network namespace (``unshare -n``) has it too, but switched off, and then nothing that needs a
kernel can run. Whoever is allowed to open such a namespace is allowed to switch its loopback on, so that is what
``ensure_loopback`` does. On any ordinary machine it finds the interface up and changes nothing.
"""

from __future__ import annotations

import socket
import struct
import sys

GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1  # Linux: SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def has_loopback() -> bool:
    """Return whether a connection to 127.0.0.1 can be made."""
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", 0))
            server.listen()
            socket.create_connection(server.getsockname(), timeout=5).close()
        except OSError:
            return False
    return True


def _switch_on() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, GET_FLAGS, request))[1]
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


def ensure_loopback() -> bool:
    """Switch the interface on where that is needed and allowed, and return whether 127.0.0.1 can be reached.

    Example:
        >>> assert ensure_loopback() == has_loopback()
    """
    if has_loopback():
        return True
    try:
        _switch_on()
    except (ImportError, OSError):
        return False
    return has_loopback()


def main() -> int:
    """Return 0 where 127.0.0.1 can be reached, else print what to do and return 1."""
    if ensure_loopback():
        return 0
    print(
        "127.0.0.1 cannot be reached, so no Jupyter kernel can start; switch it on with `ip link set lo up`.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
