"""Mail in, words and pages out: a child process that is killed when a message takes too long."""

import base64
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio

from node.errors import StoreFailed
from node.ports import File, Listed, Shown, Words
from node.units import KIB

SECONDS = 5.0
"""For one message; the slowest hostile one known takes half a second."""
PIECE = 64 * KIB
"""A pipe holds no more; adding pieces to `bytes` would copy an attachment for each."""
CHILD = Path(__file__).with_name("child.py")


class ChildReader:
    """`ports.Reader`. The child is started when it is needed, and after it was killed."""

    def __init__(self) -> None:
        self._child: trio.Process | None = None

    async def words(self, content: bytes) -> Words | None:
        """What can be found of a message; None where the child died of it, or took too long."""
        found = await self._asked(b"w", 0, content)
        return None if found is None else Words(**found)

    async def page(self, content: bytes) -> Shown | None:
        """A message as a page shows it; None as above."""
        found = await self._asked(b"p", 0, content)
        if found is None:
            return None
        files = [Listed(*each) for each in found.pop("files")]
        return Shown(headers=dict(found.pop("headers")), files=files, **found)

    async def html(self, content: bytes) -> str | None:
        """The markup of its HTML form; None where there is none, or as above."""
        found: str | None = await self._asked(b"h", 0, content)
        return found

    async def file(self, content: bytes, number: int) -> File | None:
        """An attachment by its place, from 0; None where there is none, or as above."""
        found = await self._asked(b"f", number, content)
        if not found:
            return None
        return File(found["name"], found["type"], base64.b64decode(found["data"]))

    async def _asked(self, what: bytes, number: int, content: bytes) -> Any:
        child = self._child or await self._started()
        try:
            with trio.fail_after(SECONDS):
                return await _exchanged(child, what, number, content)
        except (trio.TooSlowError, trio.BrokenResourceError, EOFError):
            await self.close()
            return None
        except trio.Cancelled:
            # Half a question, or half an answer, would be taken for the next one's.
            await self.close()
            raise

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
            raise StoreFailed(f"mail can't be taken apart: {error.strerror}") from error
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


async def _exchanged(child: trio.Process, what: bytes, number: int, content: bytes) -> Any:
    assert child.stdin is not None
    await child.stdin.send_all(struct.pack(">cII", what, number, len(content)) + content)
    size = struct.unpack(">I", await _exactly(child, 4))[0]
    return json.loads(await _exactly(child, size))


async def _exactly(child: trio.Process, size: int) -> bytes:
    assert child.stdout is not None
    data = bytearray()
    while len(data) < size:
        piece = await child.stdout.receive_some(min(size - len(data), PIECE))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
