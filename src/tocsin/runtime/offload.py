"""Threads, as an argument: blocking work leaves the event loop through one of these."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class Offload(Protocol):
    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    def close(self) -> None: ...


class ThreadOffload:
    """Runs work on `threads` threads of its own; one thread makes it a queue in order."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        context = copy_context()  # what was bound for the logs goes along
        return await loop.run_in_executor(self._pool, context.run, _in_thread, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True)


class DaemonOffload:
    """Runs each piece of work on a daemon thread of its own, at most `threads` at once.

    For calls that may never return: one that hangs (a dead network file system) keeps its thread, also
    when its waiter has gone, but neither `close` nor the end of the process waits for it.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._room = asyncio.Semaphore(threads)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        context = copy_context()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._room.release()
            if answer.done():  # the waiter was cancelled meanwhile
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(cast("T", result))

        def call() -> None:
            result, error = None, None
            try:
                result = context.run(_in_thread, lambda: work(*args, **kwargs))
            except BaseException as caught:  # it is handed to the waiter
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(settle, result, error)

        try:
            threading.Thread(target=call, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._room.release()
            raise
        return await answer

    def close(self) -> None:
        pass


def _in_thread(work: Callable[[], T]) -> T:
    try:
        return work()
    except StopIteration as error:
        # a future refuses to carry it, and its caller would wait for ever; a coroutine turns it into this too
        raise RuntimeError("offloaded work raised StopIteration") from error


class InlineOffload:
    """Runs work at once, on the loop's own thread: for virtual time, which threads would break."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        return work(*args, **kwargs)

    def close(self) -> None:
        pass
