"""Mail in, words out: a child process that is killed when a message takes too long."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import trio

from node.errors import StoreFailed
from node.ports import Words

SECONDS = 5.0
"""For one message; the slowest hostile one known takes half a second."""
CHILD = Path(__file__).with_name("child.py")


class ChildReader:
    """`ports.Reader`. The child is started when it is needed, and after it was killed."""

    def __init__(self) -> None:
        self._child: trio.Process | None = None

    async def words(self, content: bytes) -> Words | None:
        """What is in a message; None where the child died of it, or took too long."""
        child = self._child or await self._started()
        try:
            with trio.fail_after(SECONDS):
                return await _asked(child, content)
        except (trio.TooSlowError, trio.BrokenResourceError, EOFError):
            await self.close()
            return None

    async def _started(self) -> trio.Process:
        # Without site-packages and environment: what it needs is the standard library's and ours.
        command = [sys.executable, "-I", "-S", str(CHILD)]
        try:
            self._child = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise StoreFailed(f"mail can't be read for the search: {error.strerror}") from error
        return self._child

    async def close(self) -> None:
        """Ends the child; the next message starts another one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with trio.CancelScope(shield=True):
            await child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                await stream.aclose()


async def _asked(child: trio.Process, content: bytes) -> Words:
    assert child.stdin is not None
    await child.stdin.send_all(struct.pack(">I", len(content)) + content)
    size = struct.unpack(">I", await _exactly(child, 4))[0]
    return Words(**json.loads(await _exactly(child, size)))


async def _exactly(child: trio.Process, size: int) -> bytes:
    assert child.stdout is not None
    data = b""
    while len(data) < size:
        piece = await child.stdout.receive_some(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
