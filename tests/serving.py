"""A server on the loopback interface, for as long as a test needs one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any


class Quiet:
    """Mixed into a handler of requests, keeps them off the screen."""

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(handler: Callable[..., Any], **state: Any) -> Iterator[ThreadingHTTPServer]:
    """Yield a server that answers by a handler, with ``state`` as its attributes; its port is ``server_port``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        for name, value in state.items():
            setattr(server, name, value)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
