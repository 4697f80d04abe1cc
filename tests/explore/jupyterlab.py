"""A JupyterLab of this environment on the loopback, for one folder, and a notebook in it opened in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
SERVER = (
    "--no-browser",
    "--ip=127.0.0.1",
    "--allow-root",
    "--IdentityProvider.token=",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
SEEN = """
const box = document.querySelectorAll('.acelib-explorer')[arguments[0] || 0];
const said = box && box.querySelector('[role=status],[role=alert]'), picture = box && box.querySelector('img');
return said && picture && picture.complete && picture.naturalWidth > 0 &&
    {said: said.textContent, alt: picture.alt, width: picture.naturalWidth, source: picture.src};
"""
# The notebook is run when its kernel answers; before that JupyterLab would ask which kernel it should be.
READY = """
const app = window.jupyterapp, shown = app && [...app.shell.widgets('main')].find(w => w.sessionContext);
const session = shown && shown.sessionContext.isReady && shown.sessionContext.session;
return !!session && !!session.kernel && session.kernel.status === 'idle';
"""
RUN = "window.jupyterapp.commands.execute('notebook:run-all-cells')"


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Yield the address of a server for a folder; its settings and what it writes lie in that folder too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    private = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "HOME")}
    private["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    env = os.environ | private | {"PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"}
    env.pop("ACELIB_EXPLORE", None)  # a reader's kernel
    command = [sys.executable, "-m", "jupyterlab", *SERVER, f"--port={port}", f"--ServerApp.root_dir={folder}"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            if server.poll() is not None:
                raise RuntimeError(f"JupyterLab ended:\n{(folder / 'server.log').read_text()[-4000:]}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def run_notebook(browser, address: str, folder: Path, cells: list[str]) -> None:
    """Write a notebook, open it in the browser's JupyterLab, and run all its cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, folder / "try.ipynb")
    browser.get(f"{address}/lab/tree/try.ipynb?reset")
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 120).until(lambda b: b.execute_script(READY))
    browser.execute_script(RUN)


def seen(browser, number: int = 0, seconds: float = 60):
    """Return what an explorer shows: its sentence, and the picture with its words and size."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.02).until(lambda b: b.execute_script(SEEN, number))


def press(browser, *keys: str, slider: int = 0) -> None:
    """Press keys on the handle of a slider, as someone without a mouse does."""
    browser.find_elements("css selector", ".acelib-explorer .noUi-handle")[slider].send_keys(*keys)
