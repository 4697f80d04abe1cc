"""One build at a time: a second process is refused at once, and a killed holder leaves nothing to clean up."""

import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from tools import chapters, lock, make, stored

HOLD = """
import sys, time
from pathlib import Path
from tools.lock import alone
with alone(Path(sys.argv[1]), "make book"):
    print("held", flush=True)
    time.sleep(60)
"""


WORK = """
import os, signal, time
from concurrent.futures import ProcessPoolExecutor
from tools.lock import end_with_parent
if __name__ == "__main__":
    with ProcessPoolExecutor(2, initializer=end_with_parent) as pool:
        running = [pool.submit(time.sleep, 60) for _ in range(2)]
        print(*pool._processes, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list its processes in /proc")
def test_the_workers_of_a_killed_build_end_with_it(tmp_path):
    """They sleep for a minute, and are gone in less than ten seconds."""
    with open(tmp_path / "workers", "w") as printed:  # no pipe: a worker that lives on would keep it open
        run = subprocess.run([sys.executable, "-c", WORK], cwd=chapters.ROOT, stdout=printed)
    workers, deadline = (tmp_path / "workers").read_text().split(), time.monotonic() + 10
    assert len(workers) == 2 and run.returncode < 0
    while (left := [pid for pid in workers if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    assert not left


@pytest.fixture
def hold():
    """A function that starts a process which holds a lock, and returns that process."""
    started = []

    def start(path):
        command = [sys.executable, "-c", HOLD, str(path)]
        process = subprocess.Popen(command, cwd=chapters.ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_is_refused_until_the_first_is_killed(tmp_path, hold):
    path = tmp_path / "_build/build.lock"
    first = hold(path)
    with pytest.raises(lock.BusyError, match=f"another run of make book goes on .* holds {path}; wait"):
        with lock.alone(path, "make book"):
            pass
    first.kill()
    first.wait()
    with lock.alone(path, "make book"):
        assert path.exists(), "the file of the killed holder is in nobody's way"


@pytest.mark.parametrize("command", ["book", "refresh"])
def test_a_second_build_says_so_and_does_nothing(root, hold, command, capsys):
    hold(root / "_build/build.lock")
    before = (root / "book/01-one.ipynb").read_bytes()
    assert make.main([command], root) == 1
    said = capsys.readouterr().out
    assert re.fullmatch(r"another run of `make book` or `make refresh` goes on in this folder .*\n", said)
    assert [path.name for path in (root / "_build").iterdir()] == ["build.lock"]
    assert (root / "book/01-one.ipynb").read_bytes() == before


def test_a_chapter_is_run_in_full_by_one_at_a_time(root, hold, monkeypatch, capsys):
    """Other chapters may run beside it."""
    ran = []
    monkeypatch.setattr(stored, "execute_notebook", lambda path, **_: ran.append(path.stem) or path)
    monkeypatch.setattr("acelib.lab.ledger.save_ledger", lambda *_, **__: None)
    hold(root / "_build/full/01-one.lock")
    assert make.main(["full"], root) == 1 and ran == ["02-two"]
    assert "another run of `make full` of 01-one goes on" in capsys.readouterr().out


def test_on_windows_its_own_lock_is_asked(tmp_path, monkeypatch):
    """Its library is pretended: one byte, without waiting, and a refusal is a busy one."""
    asked = []

    def locking(descriptor, mode, count):
        asked.append((mode, count))
        if len(asked) > 1:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    monkeypatch.setattr(lock, "os", types.SimpleNamespace(name="nt"))
    with lock.alone(tmp_path / "a.lock", "make book"):
        pass
    with pytest.raises(lock.BusyError), lock.alone(tmp_path / "a.lock", "make book"):
        pass
    assert asked == [(2, 1)] * 2
