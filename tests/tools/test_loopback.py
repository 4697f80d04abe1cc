"""The loopback interface, looked at and, where it is down, switched on."""

import fcntl
import importlib.util
import socket
import struct

from tools.chapters import ROOT

spec = importlib.util.spec_from_file_location("loopback", ROOT / ".ci" / "loopback.py")
loopback = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loopback)


def test_an_interface_that_is_up_is_left_alone(monkeypatch):
    monkeypatch.setattr(loopback, "has_loopback", lambda: True)
    monkeypatch.setattr(loopback, "_switch_on", lambda: 1 / 0)
    assert loopback.ensure_loopback() and loopback.main() == 0


def test_one_that_is_down_is_switched_on_keeping_its_other_flags(monkeypatch):
    """The two calls to the kernel are recorded; the new flags must be the old ones with IFF_UP (1) added."""
    asked, up = [], iter([False, True])

    def ioctl(_, request, data):
        asked.append((request, *struct.unpack("16sh14x", data)))
        return struct.pack("16sh14x", b"lo", 0x8)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(loopback, "has_loopback", lambda: next(up))
    assert loopback.ensure_loopback()
    assert asked == [(0x8913, b"lo".ljust(16, b"\0"), 0), (0x8914, b"lo".ljust(16, b"\0"), 0x9)]


def test_where_that_is_not_allowed_it_says_what_to_do(monkeypatch, capsys):
    def refuse():
        raise PermissionError

    monkeypatch.setattr(loopback, "has_loopback", lambda: False)
    monkeypatch.setattr(loopback, "_switch_on", refuse)
    assert loopback.main() == 1
    assert "ip link set lo up" in capsys.readouterr().err


def test_a_connection_that_fails_means_no_loopback(monkeypatch):
    def unreachable(*_, **__):
        raise OSError

    monkeypatch.setattr(socket, "create_connection", unreachable)
    assert loopback.has_loopback() is False
