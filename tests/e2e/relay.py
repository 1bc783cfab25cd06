"""A relay in front of a node: sees what is asked, and can keep back what is answered."""

import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class Relay:
    """Passes connections on to a port of 127.0.0.1.

    Attributes:
        port: where it listens.
        open: whether answers are passed on; else connections end when one comes.
        seen: everything clients have sent.
    """

    def __init__(self, to: int) -> None:
        self._to, self.open, self.seen = to, True, b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *given: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._done.is_set():
            try:
                client = self._listener.accept()[0]
            except TimeoutError:
                continue
            except OSError:
                return
            self._start(self._pass_on, client)

    def _pass_on(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._to)) as node,
            selectors.DefaultSelector() as either,
        ):
            either.register(client, selectors.EVENT_READ, node)
            either.register(node, selectors.EVENT_READ, client)
            while not self._done.is_set():
                for key, _ in either.select(0.1):
                    if not self._moved(key.fileobj, key.data, client):
                        return

    def _moved(self, source: object, sink: socket.socket, client: socket.socket) -> bool:
        assert isinstance(source, socket.socket)
        try:
            data = source.recv(65_536)
            if source is client:
                self.seen += data
            elif not self.open:
                return False
            sink.sendall(data)
        except OSError:
            return False
        return bool(data)
