"""Downloads from servers that do not end, stall, drip or break off: each ends in one sentence, and nothing is kept."""

import hashlib
import http.server
import json
import threading

import pytest
from serving import Quiet, serving

from acelib.lab.datasets import download, registry

SIZE = 10_000
GOOD = bytes(range(250)) * 40


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    """Answers without a length, as servers may; ``/long`` would go on for ever."""

    def do_GET(self):
        self.send_response(200)
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        if self.path in ("/stall", "/close"):
            self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        try:
            getattr(self, f"_{self.path[1:]}")()
        except OSError:  # the other side has gone, as it should
            self.server.gone.set()

    def _good(self):
        self.wfile.write(GOOD)

    def _gzip(self):
        self.wfile.write(b"no gzip at all")

    def _close(self):
        self.wfile.write(GOOD[:100])

    def _long(self):
        while not self.server.over.is_set():
            self.wfile.write(GOOD)
            self.server.sent += SIZE

    def _stall(self):
        self.wfile.write(GOOD[:100])
        self.wfile.flush()
        self.server.over.wait(20)

    def _drip(self):
        for _ in range(250):  # 5 s: who does not refuse it fails, and does not wait for ever
            if self.server.over.wait(0.02):
                return
            self.wfile.write(b"x")
            self.wfile.flush()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(_Handler, over=threading.Event(), gone=threading.Event(), sent=0) as httpd:
        yield httpd
        httpd.over.set()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """A function that fetches one registered file from a path of the server, with a limit of a fifth of a second."""
    monkeypatch.delenv("ACELIB_DATA", raising=False)
    (tmp_path / "book/data").mkdir(parents=True)
    (tmp_path / "book/_toc.yml").write_text("")
    files = {"set/file.bin": {"bytes": SIZE, "sha256": hashlib.sha256(GOOD).hexdigest()}}
    (tmp_path / "book/data/registry.json").write_text(json.dumps({"format": 1, "sets": {"set": {}}, "files": files}))
    monkeypatch.chdir(tmp_path / "book")
    monkeypatch.setattr(registry, "TIMEOUT", 0.2)

    def ask(path):
        url = f"http://127.0.0.1:{server.server_port}/{path}"
        return registry.fetch("set/file.bin", mirrors=[url], cache=tmp_path / "cache")

    return ask


def test_the_right_file_is_received(fetch):
    assert fetch("good").read_bytes() == GOOD


ENDS = {
    "long": r"longer than the 10000 bytes that were expected; stopped and removed",
    "stall": r"no byte for 0.2 s; stopped and removed",
    "drip": r"too slow, \d+ of 10000 bytes in 0.\d s; stopped and removed",
    "close": r"truncated, the connection closed early; removed",
    "gzip": r"it broke \(DecodeError\); removed",
}


@pytest.mark.parametrize("path", ENDS)
def test_a_bad_server_ends_in_one_sentence(fetch, tmp_path, path):
    with pytest.raises(registry.DataError, match=rf"/{path} \({ENDS[path]}\); nothing was kept, so set ACELIB_DATA"):
        fetch(path)
    assert [item for item in (tmp_path / "cache").rglob("*") if item.is_file()] == []


def test_a_server_that_never_ends_is_left_at_once(fetch, server):
    """Not after the hundreds of megabytes that it would send: after what the network holds at most."""
    with pytest.raises(registry.DataError):
        fetch("long")
    assert server.gone.wait(10), "the connection was closed"
    assert server.sent < 50_000_000


def test_an_older_urllib3_is_read_in_small_blocks(tmp_path, server, monkeypatch):
    import urllib3

    monkeypatch.setattr(urllib3.response.HTTPResponse, "read1", None)
    url = f"http://127.0.0.1:{server.server_port}"
    download.receive(f"{url}/good", tmp_path / "good", size=SIZE, timeout=5)
    assert (tmp_path / "good").read_bytes() == GOOD
    with pytest.raises(download.Refused, match="longer than the 10000 bytes"):
        download.receive(f"{url}/long", tmp_path / "long", size=SIZE, timeout=5)
    assert (tmp_path / "long").stat().st_size <= SIZE + 1024
