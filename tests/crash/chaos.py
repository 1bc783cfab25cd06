"""A proxy that does to connections what networks do: in userspace, on trio, by chance of a seed.

    ended      after a moment, as it should be
    delayed    every piece comes late
    lost       the connection ends as soon as it is made
    reset      after some bytes both ends get a reset, in the midst of a body
    half-open  after some bytes nothing comes any more, and nobody is told
    dripping   one byte a second

It runs in a thread of its own, so that a test can drive processes beside it.
"""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import trio

FAULTS = {"ended": 6, "delayed": 3, "lost": 3, "reset": 4, "half-open": 1, "dripping": 1}
"""How often, of all connections in a storm. The last two cost who calls the longest wait."""
LIFE = 1.5
"""Seconds that a connection lives at most while it storms: nodes keep theirs for long."""
FIRST = 4_000
"""Bytes that may pass before a fault: a request's head, or the midst of a body."""


class Chaos:
    """Ports in front of nodes.

    Args:
        seed: of all chance.

    Attributes:
        storm: whether faults happen; when it is over, connections that hang are ended.
        count: connections by what was done to them.
    """

    def __init__(self, seed: int) -> None:
        self.storm = True
        self.count: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._hanging: set[trio.CancelScope] = set()
        self._fronts: list[tuple[socket.socket, int]] = []
        self._thread = threading.Thread(target=trio.run, args=(self._run,))
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop = trio.Event()
        self._started = threading.Event()

    def front(self, port: int) -> int:
        """A port that leads to `port`; before the proxy starts."""
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._fronts.append((sock, port))
        return int(sock.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._soon(self._stop.set)
        self._thread.join()

    def calm(self) -> None:
        """From now on everything passes."""
        self.storm = False
        self._soon(self._let_go)

    def _let_go(self) -> None:
        for scope in list(self._hanging):
            scope.cancel()

    def _soon(self, work: Callable[[], None]) -> None:
        assert self._token is not None
        self._token.run_sync_soon(work)

    # --- in its thread -------------------------------------------------------------------

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            for sock, port in self._fronts:
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
                nursery.start_soon(partial(trio.serve_listeners, self._to(port), [listener]))
            self._started.set()
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def _to(self, port: int) -> "Handler":
        async def handle(client: trio.SocketStream) -> None:
            fault = self._fault()
            self.count[fault] += 1
            with trio.CancelScope() as scope, suppress(trio.BrokenResourceError, OSError):
                if fault != "passed":
                    self._hanging.add(scope)
                if fault == "ended":
                    scope.deadline = trio.current_time() + self._chance.random() * LIFE
                await self._carried(client, port, fault)
            self._hanging.discard(scope)

        return handle

    def _fault(self) -> str:
        if not self.storm:
            return "passed"
        return self._chance.choices(list(FAULTS), list(FAULTS.values()))[0]

    async def _carried(self, client: trio.SocketStream, port: int, fault: str) -> None:
        async with client:
            if fault == "lost":
                _reset(client)
                return
            async with await trio.open_tcp_stream("127.0.0.1", port) as node:
                left = _Left(self._chance.randrange(FIRST) if fault in _AT_ONCE else 1 << 62)
                async with trio.open_nursery() as both:
                    for source, sink in ((client, node), (node, client)):
                        both.start_soon(self._pass, source, sink, fault, left, both.cancel_scope)
                if left.reset:
                    _reset(client)
                    _reset(node)

    async def _pass(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        fault: str,
        left: "_Left",
        both: trio.CancelScope,
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while piece := await source.receive_some(1 if fault == "dripping" else 65_536):
                if fault == "delayed":
                    await trio.sleep(self._chance.uniform(0.05, 0.8))
                elif fault == "dripping":
                    await trio.sleep(1)
                left.bytes -= len(piece)
                if left.bytes < 0:
                    left.reset = fault == "reset"
                    if fault == "half-open":
                        await trio.sleep_forever()
                    break
                await sink.send_all(piece)
        both.cancel()


Handler = Callable[[trio.SocketStream], Awaitable[object]]
_AT_ONCE = ("reset", "half-open")


class _Left:
    """Bytes of a connection, both ways, until its fault."""

    def __init__(self, count: int) -> None:
        self.bytes, self.reset = count, False


def _reset(stream: trio.SocketStream) -> None:
    """Closing will send a reset, not an end."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
