"""Work shared out to an executor: tasks that any worker can do, their results in order, kept once they are finished.

What all tasks need (networks, rows) is sent once to every worker; a task is a few numbers, and so is its result. There
is no scheduler here: any ``concurrent.futures.Executor`` does the work, such as a pool of processes, loky, that of a
Dask client or that of mpi4py.
"""

from __future__ import annotations

import collections
import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ._parts import Parts
from ._shipping import Content, Ticket, received, shipped
from ._warnings import warn_caller

AHEAD = 4  # tasks for each worker that are handed out before the first result is needed
UNKNOWN = 16  # workers of an executor that does not tell
HOME = os.getpid()  # in a worker that was forked this is still its parent's


class Task(NamedTuple):
    """One piece of work.

    Attributes:
        call: a function of a module, ``(content, *args) -> result``; the result holds tensors, numbers and names.
        args: what it needs beside the content.
        name: for messages, such as "do(x3), rows 0 to 2000".
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    name: str


class _Done(NamedTuple):
    """What a worker sends back; ``absent`` where it could not find the content."""

    result: Any
    warned: tuple[tuple[type[Warning], str], ...] = ()
    absent: bool = False


class Workers(NamedTuple):
    """Who does the work of a call.

    Attributes:
        executor: any ``concurrent.futures.Executor``; None does it here.
        parts: a folder in which finished parts are kept; None keeps nothing.
    """

    executor: Executor | None = None
    parts: str | os.PathLike | None = None

    def pool(self, content: Any, state: Callable[[], str]) -> Pool:
        """Return them at work on tasks that share this content; see ``Pool``."""
        return Pool(self.executor, self.parts, content, state)


class Pool:
    """An executor and a folder for the tasks of one call, which share their content.

    Args:
        executor: does the work; None does it here.
        parts: folder in which finished parts are kept; None keeps nothing.
        content: what all tasks need.
        state: gives what the content is, as text that is the same in every process; it names the kept parts.

    Raises:
        TypeError: if it is no executor.

    Example:
        >>> pool = Pool(ThreadPoolExecutor(2), None, 10, lambda: "ten")
        >>> assert list(pool.run([Task(pow, (n,), str(n)) for n in range(4)])) == [1, 10, 100, 1000]
    """

    def __init__(
        self, executor: Executor | None, parts: str | os.PathLike | None, content: Any, state: Callable[[], str]
    ) -> None:
        self.executor = check_executor(executor)
        self.parts = None if parts is None else Parts(parts, state)
        self.content = Content(content)
        self.workers = _workers(self.executor)

    def run(self, tasks: Iterable[Task], *, progress: str | None = None, total: int | None = None) -> Iterator[Any]:
        """Yield the result of every task, in their order.

        Leaving early, as by an interrupt, cancels what has not begun. What a part has finished is never computed again.

        Args:
            tasks: taken as they are needed.
            progress: title of a progress bar over the tasks; None shows none.
            total: number of tasks, for the bar.

        Raises:
            Exception: what a task raises, with its name.
        """
        waiting: collections.deque[tuple[Task, Path | None, Future | Any]] = collections.deque()
        ahead = 1 if self.executor is None else AHEAD * self.workers
        todo, told = iter(tasks), set()
        with _bar(progress, total) as step:
            try:
                while True:
                    while len(waiting) < ahead and (task := next(todo, None)) is not None:
                        waiting.append(self._begun(task))
                    if not waiting:
                        return
                    result, warned = self._finished(*waiting.popleft())
                    for category, text in warned:
                        if (category, text) not in told:
                            told.add((category, text))
                            warn_caller(text, category)
                    step()
                    yield result
            finally:
                for *_, future in waiting:
                    if isinstance(future, Future):
                        future.cancel()

    def _begun(self, task: Task) -> tuple[Task, Path | None, Any]:
        """Return a task with where its result will be kept, and its future, or its result where it is there already."""
        path = None if self.parts is None else self.parts.path(task.call, task.args)
        if self.parts is not None and path is not None and (known := self.parts.read(path)) is not None:
            return task, path, _Done(known)
        if self.executor is None:
            return task, path, None
        if isinstance(self.executor, ThreadPoolExecutor):
            future = self.executor.submit(_perform_here, self.content.value, task, path)
        else:
            future = self._sent(task, path)
        if self.parts is not None and path is not None:
            future.add_done_callback(lambda one, parts=self.parts, path=path: _keep(parts, path, one))
        return task, path, future

    def _sent(self, task: Task, path: Path | None) -> Future:
        """Hand a task to a worker in another process."""
        assert self.executor is not None
        ticket, data = shipped(self.content, self.executor)
        return self.executor.submit(_perform, ticket, data, tuple(task), path, self.workers)

    def _finished(self, task: Task, path: Path | None, future: Any) -> tuple[Any, tuple]:
        """Return the result of a task and the warnings of its worker."""
        if isinstance(future, _Done):
            return future.result, future.warned
        try:
            done = _perform_here(self.content.value, task, path) if future is None else future.result()
            if done.absent:  # the worker is on another machine, which does not see the file
                self.content.inline = True
                done = self._sent(task, path).result()
            if self.parts is not None and path is not None:
                self.parts.write(path, done.result)
        except BrokenExecutor as error:
            kept = "" if self.parts is None else "; finished parts are kept"
            raise RuntimeError(
                f"a worker ended before its work was done, at {task.name}{kept}; it may have lacked memory: lower "
                "chunk_size, make a new executor and call again"
            ) from error
        except Exception as error:
            if self.executor is None:
                raise
            raise _named(error, task.name) from error
        return done.result, done.warned


def check_executor(executor: Any) -> Executor | None:
    """Return an executor, or None.

    Raises:
        TypeError: if it is none.
    """
    if executor is None or isinstance(executor, Executor):
        return executor
    if callable(getattr(executor, "get_executor", None)):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}; use its get_executor()"
        )
    if callable(getattr(executor, "submit", None)):
        return executor  # it has the one method that is needed
    raise TypeError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")


def _workers(executor: Any) -> int:
    """Return the number of workers of an executor, as far as it tells."""
    client = getattr(executor, "_client", None)
    if client is not None and hasattr(client, "nthreads"):
        return max(1, sum(client.nthreads().values()))
    known = getattr(executor, "_max_workers", None)
    return known if isinstance(known, int) and known > 0 else UNKNOWN


def _perform_here(content: Any, task: Task, path: Path | None) -> _Done:
    """Do a task in this process."""
    return _Done(task.call(content, *task.args))


def _perform(ticket: Ticket, data: bytes | None, task: tuple, path: Path | None, workers: int) -> _Done:
    """Do a task in a worker's process, keep its result where the folder is in sight, and send it back."""
    one = Task(*task)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            content = received(ticket, data)
        except FileNotFoundError:
            return _Done(None, absent=True)
        # All processes together start no more threads than there are processors; and a forked one starts none, which
        # would wait for ever for the threads that its parent had.
        most = 1 if os.getpid() != HOME else max(1, (os.cpu_count() or 1) // workers)
        if most < torch.get_num_threads():
            torch.set_num_threads(most)
        result = one.call(content, *one.args)
    if path is not None and Parts.in_sight(path):
        Parts.keep(path, result)
    return _Done(result, tuple({(w.category, str(w.message)): None for w in caught}))


def _keep(parts: Parts, path: Path, future: Future) -> None:
    """Keep the result of a finished task at once, however many come before it."""
    if not future.cancelled() and future.exception() is None and not future.result().absent:
        parts.write(path, future.result().result)


def _named(error: Exception, name: str) -> Exception:
    """Return an error like this one whose message names the task."""
    text = f"{error} ({name})"
    if type(error) in (ValueError, TypeError, RuntimeError, ImportError, LookupError, MemoryError, OSError):
        return type(error)(text)
    return RuntimeError(f"{type(error).__name__}: {text}")


@contextlib.contextmanager
def _bar(title: str | None, total: int | None) -> Iterator[Callable[[], Any]]:
    """Yield what moves a progress bar on by one task, where one is shown."""
    if title is None:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(desc=title, unit="part", total=total, leave=False) as shown:
        yield shown.update
