"""A whole mailbox out, and mail from elsewhere in.

Both bodies are messages one after the other, so that neither side holds more than a piece:

    export   a JSON line about the message, then pieces: a line with the length, the bytes;
             a last line `0`, or `-1 why` where the rest could not be read
    import   a JSON line {size, sha256, at?, unread?, sent?}, then `size` bytes
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
import trio

from node.encoding import cid as cids
from node.errors import Absent, Malformed, StoreFailed, Usage, WillcallError
from node.localapi.call import Call, Handler
from node.localapi.sending import GROUP, TOGETHER, UPLOAD
from node.machines.rows import Mail, Sent
from node.services.imports import Import, Item, mails_after, sents_after
from node.services.mailbox import Contents
from node.services.node import Node
from node.services.submit import is_small
from node.units import Instant, Key

LINE = 1024
"""Bytes of a line about a message that is to be imported."""
WORDS = ("inbox", "sent", "all")


class MovingCalls:
    """Export and import."""

    def __init__(self, node: Node) -> None:
        self._node, self._core = node, node.core
        self._contents = Contents(node.core)
        self._importing = trio.Lock()
        self.table: dict[str, Handler] = {
            "GET export": self._export,
            "POST import": self._import,
        }

    # --- out ------------------------------------------------------------------------------

    async def _export(self, call: Call) -> Any:
        what = call.one("of") or "all"
        if what not in WORDS:
            raise Usage(f"{what[:20]!r} can't be exported", next="inbox, sent or all")
        return self._leaving(call.owner.owner, what)

    async def _leaving(self, me: Key, what: str) -> AsyncIterator[bytes]:
        """The inbox in the order of its numbers, then sent mail, oldest first."""
        after = 0
        while what != "sent" and (
            mails := self._core.db.read(lambda tx, after=after: mails_after(tx, me, after))  # type: ignore[misc]
        ):
            for row in mails:
                async for piece in self._message(row, row.received):
                    yield piece
            after = mails[-1].n
        after = 0
        while what != "inbox" and (
            sents := self._core.db.read(lambda tx, after=after: sents_after(tx, me, after))  # type: ignore[misc]
        ):
            for sent in sents:
                async for piece in self._message(sent, sent.created):
                    yield piece
            after = sents[-1].order

    async def _message(self, row: Mail | Sent, at: Instant) -> AsyncIterator[bytes]:
        about = {"message": cids.show(row.message), "size": row.size, "at": at}
        if isinstance(row, Mail):
            about |= {"n": row.n, "state": row.state}
        yield msgspec.json.encode(about) + b"\n"
        try:
            async for piece in self._contents.read(row):
                if piece:
                    yield b"%d\n" % len(piece)
                    yield piece
        except (Absent, StoreFailed) as error:
            yield b"-1 " + error.text.replace("\n", " ").encode() + b"\n"
            return
        yield b"0\n"

    # --- in -------------------------------------------------------------------------------

    async def _import(self, call: Call) -> Any:
        """Stores what is new; with `dry` nothing, but tells what would be."""
        length, chunks = call.stream(UPLOAD)
        dry = call.one("dry") == "1"
        async with self._importing:
            run = Import(self._core, self._node.submission, call.owner, dry)
            await run.look()
            try:
                await self._take(run, _Frames(chunks, length))
                if dry:
                    run.check_room()
            except WillcallError as error:
                if run.tally.added and not dry:
                    error.text = error.text.replace("; nothing was stored", "")
                    error.text += f" (the {run.tally.added} messages before are imported)"
                raise
        self._core.arrivals.ring()
        return {"added": run.tally.added, "known": run.tally.known, "size": run.tally.size}

    async def _take(self, run: Import, frames: "_Frames") -> None:
        """Small messages in groups, larger ones one by one, in their order."""
        group: list[tuple[Item, bytes]] = []
        while line := await frames.line():
            item = self._item(line)
            small = is_small(item.size)
            if not small or len(group) == TOGETHER or sum(len(each) for _, each in group) > GROUP:
                await run.small(group)
                group = []
            known = await run.is_known(item)
            if known:
                await frames.skip(item.size)
            elif small:
                group.append((item, await frames.exactly(item.size)))
            else:
                await run.large(item, frames.pieces(item.size))
        await run.small(group)

    def _item(self, line: bytes) -> Item:
        try:
            about = msgspec.json.decode(line, type=_About)
            digest = bytes.fromhex(about.sha256)
        except (msgspec.DecodeError, ValueError) as error:
            raise Malformed(f"a line about a message can't be read: {error}") from error
        if len(digest) != 32 or about.size < 0 or not 0 <= (about.at or 0) < 1 << 53:
            raise Malformed("a line about a message says what can't be")
        self._node.submission.check_size(about.size)
        return Item(
            size=about.size,
            digest=digest,
            at=None if about.at is None else Instant(about.at),
            unread=about.unread,
            sent=about.sent,
        )


class _About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int
    sha256: str
    at: int | None = None
    unread: bool = False
    sent: bool = False


class _Frames:
    """Lines and bytes out of a body that comes in pieces."""

    def __init__(self, chunks: AsyncIterator[bytes], length: int) -> None:
        self._chunks, self._left = chunks, length
        self._buffer = bytearray()

    async def line(self) -> bytes:
        """The next line without its end; b"" at the end of the body."""
        while (at := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= LINE:
            if not await self._more():
                break
        if at < 0 and not self._buffer:
            return b""
        if not 0 < at <= LINE:
            raise Malformed("a line about a message is missing, or too long")
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        return b"".join([piece async for piece in self.pieces(size)])

    async def skip(self, size: int) -> None:
        """Leaves out the next `size` bytes."""
        async for _ in self.pieces(size):
            pass

    async def pieces(self, size: int) -> AsyncGenerator[bytes, None]:
        """The next `size` bytes in pieces."""
        while size:
            if not self._buffer and not await self._more():
                raise Malformed("the last message is cut off")
            piece = bytes(self._buffer[:size])
            del self._buffer[: len(piece)]
            size -= len(piece)
            yield piece

    async def _more(self) -> bool:
        async for chunk in self._chunks:
            self._buffer += chunk
            self._left -= len(chunk)
            return True
        if self._left:
            raise Malformed("the body ended early", reason="disconnected")
        return False
