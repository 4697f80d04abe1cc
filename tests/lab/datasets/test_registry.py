"""Downloads against a server on this machine: good, corrupt, truncated and missing files, mirrors, and no network."""

import hashlib
import http.server
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from serving import Quiet, serving

from acelib.lab import home
from acelib.lab.datasets import registry
from acelib.lab.datasets.registry import DataError, entry, fetch

GOOD = bytes(range(256)) * 40
MEMBER = b"member" * 100


def _archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("folder/member.bin")
        info.size = len(MEMBER)
        archive.addfile(info, io.BytesIO(MEMBER))
    return stream.getvalue()


ARCHIVE = _archive()


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        bodies = {"/good": GOOD, "/corrupt": GOOD[:-1] + b"!", "/truncated": GOOD[:100], "/short": GOOD[:100]}
        body = {**bodies, "/archive": ARCHIVE}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD) if self.path == "/truncated" else len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    """The address of a server that answers only on the loopback interface."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(_Handler, asked=[]) as httpd:
        yield httpd


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def closed():
    """An address of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/good"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of its own whose registry knows test files; returns a function that registers one more."""
    monkeypatch.delenv("ACELIB_DATA", raising=False)
    home = tmp_path / "book"
    (home / "data").mkdir(parents=True)
    (home / "_toc.yml").write_text("")
    monkeypatch.chdir(home)
    content = {"format": 1, "sets": {"set": {"title": "a set", "licence": "CC0"}}, "files": {}}

    def register(name: str, body: bytes = GOOD, algorithm: str = "sha256", **more) -> None:
        content["files"][name] = {"bytes": len(body), algorithm: hashlib.new(algorithm, body).hexdigest(), **more}
        (home / "data" / "registry.json").write_text(json.dumps(content))

    register("set/file.bin")
    return register


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_good_file_is_downloaded_once(book, server, url, tmp_path):
    """The bytes arrive, the second call is answered by the cache without a request."""
    book("set/file.bin", urls=[f"{url}/good"])
    path = fetch("set/file.bin", cache=tmp_path / "cache")
    assert path == tmp_path / "cache" / "set" / "file.bin"
    assert path.read_bytes() == GOOD
    assert fetch("set/file.bin", cache=tmp_path / "cache") == path
    assert server.asked == ["/good"]
    assert _files(tmp_path / "cache") == ["set/file.bin"]


def test_md5_serves_where_only_that_is_published(book, url, tmp_path):
    """An entry without sha256 is checked by md5: the good file passes, the corrupt one does not."""
    book("set/file.bin", algorithm="md5", urls=[f"{url}/good"])
    assert fetch("set/file.bin", cache=tmp_path / "a").read_bytes() == GOOD
    with pytest.raises(DataError, match="corrupt, md5 [0-9a-f]{32} where [0-9a-f]{32} was expected; removed"):
        fetch("set/file.bin", mirrors=[f"{url}/corrupt"], cache=tmp_path / "b")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("corrupt", r"/corrupt \(corrupt, sha256 [0-9a-f]{64} where [0-9a-f]{64} was expected; removed\)"),
        ("truncated", r"/truncated \(truncated, the connection closed early; removed\)"),
        ("short", r"/short \(truncated, 100 bytes where 10240 were expected; removed\)"),
        ("missing", r"/missing \(the server answered 404\)"),
    ],
)
def test_bad_file_is_named_and_not_kept(book, url, tmp_path, address, said):
    """The error names the file, the address, the fault, the variable and the cache path; no byte stays behind."""
    with pytest.raises(DataError, match=said) as caught:
        fetch("set/file.bin", mirrors=[f"{url}/{address}"], cache=tmp_path / "cache")
    message = str(caught.value)
    assert "set/file.bin" in message and "set ACELIB_DATA" in message
    assert str(tmp_path / "cache" / "set" / "file.bin") in message
    assert _files(tmp_path / "cache") == []


def test_expected_and_received_checksums_are_told(book, url, tmp_path):
    """The two checksums in the message are those of what came and of what should have come."""
    with pytest.raises(DataError) as caught:
        fetch("set/file.bin", mirrors=[f"{url}/corrupt"], cache=tmp_path)
    got, expected = (hashlib.sha256(body).hexdigest() for body in (GOOD[:-1] + b"!", GOOD))
    assert f"{got} where {expected} was expected" in str(caught.value)


def test_mirrors_are_tried_in_turn(book, server, url, closed, tmp_path):
    """Closed port, missing, corrupt, truncated, then good: the fifth address delivers."""
    mirrors = [closed, *(f"{url}/{name}" for name in ("missing", "corrupt", "truncated", "good"))]
    assert fetch("set/file.bin", mirrors=mirrors, cache=tmp_path / "cache").read_bytes() == GOOD
    assert server.asked == ["/missing", "/corrupt", "/truncated", "/good"]
    assert _files(tmp_path / "cache") == ["set/file.bin"]


def test_without_a_network(book, closed, tmp_path):
    """No connection: every address is listed, and what to do."""
    book("set/file.bin", urls=[closed, closed + "2"])
    with pytest.raises(DataError, match="no connection.*good2.*no connection.*set ACELIB_DATA.*by hand"):
        fetch("set/file.bin", cache=tmp_path / "cache")
    assert _files(tmp_path / "cache") == []


def test_a_silent_server_counts_as_dead(book, monkeypatch, tmp_path):
    """A server that accepts and never answers ends in a timeout, here after 0.2 s."""
    monkeypatch.setattr(registry, "TIMEOUT", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DataError, match="no answer within 0.2 s"):
            fetch("set/file.bin", mirrors=[f"http://127.0.0.1:{silent.getsockname()[1]}/"], cache=tmp_path)


def test_no_address_at_all(book, tmp_path):
    """A file that no address offers says so."""
    with pytest.raises(DataError, match="none is registered"):
        fetch("set/file.bin", cache=tmp_path)


def test_corrupt_cache_is_replaced(book, url, closed, tmp_path):
    """A damaged cached copy is removed and downloaded anew; offline, the error tells that it was removed."""
    cached = tmp_path / "cache" / "set" / "file.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(GOOD[:-1])
    assert fetch("set/file.bin", mirrors=[f"{url}/good"], cache=tmp_path / "cache").read_bytes() == GOOD
    cached.write_bytes(GOOD[:-1])
    with pytest.raises(DataError, match="the cached copy .truncated, 10239 bytes where 10240 were expected; removed"):
        fetch("set/file.bin", mirrors=[closed], cache=tmp_path / "cache")
    assert not cached.exists()


def test_an_interrupted_download_leaves_nothing(book, url, monkeypatch, tmp_path):
    """An exception in the middle of the check (as by Ctrl-C) leaves neither the file nor a part of it."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "_problem", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("set/file.bin", mirrors=[f"{url}/good"], cache=tmp_path / "cache")
    assert _files(tmp_path / "cache") == []


def test_folder_of_the_user_comes_first(book, closed, tmp_path, monkeypatch):
    """ACELIB_DATA serves the file without cache or network."""
    (tmp_path / "own" / "set").mkdir(parents=True)
    (tmp_path / "own" / "set" / "file.bin").write_bytes(GOOD)
    monkeypatch.setenv("ACELIB_DATA", str(tmp_path / "own"))
    assert fetch("set/file.bin", mirrors=[closed], cache=tmp_path / "cache") == tmp_path / "own" / "set" / "file.bin"
    assert not (tmp_path / "cache").exists()


def test_folder_of_the_user_is_checked_and_left_alone(book, tmp_path, monkeypatch):
    """A wrong file there is an error that names it, and is not deleted."""
    own = tmp_path / "own" / "set" / "file.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(GOOD[:-1] + b"?")
    monkeypatch.setenv("ACELIB_DATA", str(tmp_path / "own"))
    with pytest.raises(DataError, match=f"{own} is corrupt, sha256 .*unset ACELIB_DATA"):
        fetch("set/file.bin", cache=tmp_path / "cache")
    assert own.exists()


def test_folder_of_the_user_that_lacks_the_file(book, url, tmp_path, monkeypatch):
    """What is not there is downloaded; a name that is no folder is an error."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("ACELIB_DATA", str(tmp_path / "own"))
    assert fetch("set/file.bin", mirrors=[f"{url}/good"], cache=tmp_path / "cache").read_bytes() == GOOD
    monkeypatch.setenv("ACELIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="ACELIB_DATA=.*nowhere is not a folder"):
        fetch("set/file.bin", cache=tmp_path / "cache")


def test_member_of_an_archive_and_first_bytes(book, url, server, tmp_path):
    """A member is taken out of its archive, the head of it out of the member, each checked; one download does."""
    book("set/archive.tar.gz", ARCHIVE, urls=[f"{url}/archive"])
    book("set/member.bin", MEMBER, **{"from": "set/archive.tar.gz", "member": "folder/member.bin"})
    book("set/head.bin", MEMBER[:50], **{"from": "set/member.bin"})
    assert fetch("set/head.bin", cache=tmp_path / "cache").read_bytes() == MEMBER[:50]
    assert fetch("set/member.bin", cache=tmp_path / "cache").read_bytes() == MEMBER
    assert server.asked == ["/archive"]
    assert _files(tmp_path / "cache") == ["set/archive.tar.gz", "set/head.bin", "set/member.bin"]


def test_wrong_member(book, url, tmp_path):
    """A member that is not in the archive, or is not the registered one, is an error and is not kept."""
    book("set/archive.tar.gz", ARCHIVE, urls=[f"{url}/archive"])
    book("set/none.bin", MEMBER, **{"from": "set/archive.tar.gz", "member": "folder/none.bin"})
    book("set/other.bin", MEMBER[::-1], **{"from": "set/archive.tar.gz", "member": "folder/member.bin"})
    with pytest.raises(DataError, match="none.bin cannot be taken out of .*archive.tar.gz"):
        fetch("set/none.bin", cache=tmp_path / "cache")
    with pytest.raises(DataError, match="other.bin, taken out of .* is corrupt, sha256 .* removed"):
        fetch("set/other.bin", cache=tmp_path / "cache")
    assert _files(tmp_path / "cache") == ["set/archive.tar.gz"]


def test_unknown_name(book):
    """The error suggests the name that was meant, or lists what there is."""
    with pytest.raises(
        DataError, match="must be a registered data file, got 'set/flie.bin'; did you mean set/file.bin?"
    ):
        entry("set/flie.bin")
    with pytest.raises(DataError, match="known are set/file.bin"):
        fetch("###")


def test_unreadable_registry(book):
    """A registry that is no JSON names itself."""
    (home.data_dir() / "registry.json").write_text("{")
    with pytest.raises(DataError, match="registry.json cannot be read"):
        registry.names()


def test_default_cache_is_the_users():
    """Without a cache argument, downloads go to pooch's folder for acelib."""
    import pooch

    assert registry.cache_dir() == Path(pooch.os_cache("acelib"))


def test_shipped_registry_is_complete():
    """Every shipped entry can be had (addresses or a parent), has a checksum and size, and its set says whose it is."""
    assert len(registry.names()) == 13
    for name in registry.names():
        known = entry(name)
        assert ("urls" in known) != ("from" in known), name
        assert all(url.startswith("https://") for url in known.get("urls", [])), name
        assert len(known.get("sha256", "0" * 64)) == 64 and ("sha256" in known or len(known["md5"]) == 32), name
        assert known["bytes"] > 0 and all(known[key] for key in ("title", "source", "licence", "citation")), name
        if "from" in known:
            assert known["from"] in registry.names(), name
    assert all(len(entry(name)["urls"]) == 2 for name in registry.names() if name.startswith("mnist/"))


@pytest.mark.skipif("ACELIB_DATA" not in os.environ, reason="ACELIB_DATA does not name a folder with the real files")
@pytest.mark.parametrize(
    "name",
    [
        "mnist/train-images-idx3-ubyte.gz",
        "mnist/train-labels-idx1-ubyte.gz",
        "mnist/t10k-images-idx3-ubyte.gz",
        "mnist/t10k-labels-idx1-ubyte.gz",
        "cifar10/data_batch_1.bin",
        "cifar10/test_batch_first1000.bin",
        "dashlink/666200402020631.mat",
    ],
)
def test_real_files_match_the_registry(name):
    """Each real file in ACELIB_DATA has the registered checksum, and the published md5 where both are known."""
    path = fetch(name)
    assert path.stat().st_size == entry(name)["bytes"]
    for algorithm in {"sha256", "md5"} & entry(name).keys():
        assert registry.checksum(path, algorithm) == entry(name)[algorithm]
