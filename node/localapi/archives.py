"""Archives: what is published here, and what is followed.

What changes an archive is the administrator's to do: it stores without a quota, and publishes
under the node's address. Reading one is its owner's.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import trio

from node.archive import place
from node.archive.entry import Entry, Removal
from node.archive.tree import Frontier
from node.encoding import cid as cids
from node.encoding import names
from node.errors import ConfigBroken, Malformed, Refused, Usage, WillcallError
from node.localapi import reading, uploads
from node.localapi.call import Call, Handler, optional, texts, word
from node.localapi.sending import UPLOAD
from node.machines.rows import Archive, Item, Log, Owner, Peer, Reader, Token
from node.mail import scan
from node.ports import Tables
from node.services import devices, library, owners, views
from node.services.desk import File
from node.services.intake import Intake
from node.services.library import Library, Numbered
from node.services.node import Node
from node.services.publish import Tally
from node.services.static import Static

SHOWN = 20
"""Messages of an archive that are listed unless told otherwise."""
MOST = 1_000
"""Messages listed in one answer: a second's work."""
FRAMES = "frames"
"""Messages one after the other, each behind a line with its length."""


class ArchiveCalls:
    """Publishing, and reading what is published or followed."""

    def __init__(self, node: Node) -> None:
        self._node, self._core = node, node.core
        self._publisher, self._follower = node.publisher, node.follower
        self._library, self._static = Library(node.core), Static(node.core, node.desk)
        self._adding = trio.Lock()
        self.table: dict[str, Handler] = {
            "GET archives": self._list,
            "GET archive": self._show,
            "GET archive-entries": self._entries,
            "GET archive-raw": self._raw,
            "GET archive-export": self._export,
            "POST archive": self._create,
            "POST archive-add": self._add,
            "POST archive-post": self._post,
            "POST archive-publish": self._publish,
            "POST archive-feed": self._feed,
            "GET archive-readers": self._readers,
            "POST archive-readers": self._change_readers,
            "POST archive-remove": self._remove,
            "POST archive-drop": self._drop,
            "POST archive-follow": self._follow,
            "POST archive-poll": self._poll,
            "POST archive-verify": self._verify,
            "POST archive-unfollow": self._unfollow,
        }

    # --- showing -----------------------------------------------------------------------------

    def _find(self, call: Call) -> Archive:
        name = word(call)
        return self._core.db.read(lambda tx: library.find(tx, call.owner.owner, name))

    async def _list(self, call: Call) -> Any:
        def work(tx: Tables) -> list[Archive]:
            return sorted(tx.archives.by("owner", call.owner.owner), key=lambda row: row.name)

        return [self._document(row) for row in self._core.db.read(work)]

    async def _show(self, call: Call) -> Any:
        return self._document(self._find(call))

    def _document(self, row: Archive) -> dict[str, Any]:
        log = self._core.db.read(lambda tx: tx.logs.get(row.id, row.epoch))
        return document(row, log, self._core.config.origin)

    async def _entries(self, call: Call) -> Any:
        """The newest messages of an archive, oldest of them first; `before` a number: earlier.

        Of its newest log, or that of an `epoch`.
        """
        row, epoch = self._find(call), call.number("epoch")
        limit = min(call.number("limit") or SHOWN, MOST)
        log = self._core.db.read(lambda tx: library.log_of(tx, row, epoch))
        stop = call.number("before")
        stop = log.size if stop is None else min(stop, log.size)
        found = self._library.entries(row, max(0, stop - limit), min(limit, stop), epoch)
        return [await self._line(each) for each in found]

    async def _line(self, each: Numbered) -> dict[str, Any]:
        if isinstance(each.entry, Removal):
            removed = each.entry
            return {
                "n": each.index,
                "message": cids.show(removed.message),
                "state": "removal",
                "removes": removed.index,
                "reason": removed.reason,
                "date": views.time(removed.at),
            }
        if not isinstance(each.entry, Entry) or each.item is None:
            return {"n": each.index, "message": None, "state": "sealed"}
        said: dict[str, str | None] = {"from": None, "subject": None}
        if each.item.state == "here":
            pieces = self._library.content(each.item)
            async for head in pieces:
                read = scan.scan(head)
                said = {"from": read.sender, "subject": read.subject}
                break
        return {
            "n": each.index,
            "message": cids.show(each.entry.message),
            **said,
            "date": views.time(each.entry.date),
            "size": each.entry.size,
            "state": each.item.state,
        }

    async def _raw(self, call: Call) -> Any:
        """The bytes of one message."""
        if len(call.words) != 2:
            raise Malformed("this call names an archive and a message in its path")
        name, ref = call.words

        def work(tx: Tables) -> Item:
            return library.item_of(tx, library.find(tx, call.owner.owner, name), ref)

        return self._library.content(self._core.db.read(work))

    async def _export(self, call: Call) -> Any:
        """What an archive is made of as files, a line each; with `unit`: the files of those."""
        row = self._find(call)
        if row.private:
            raise Refused(
                f"{row.name} is private: a web server with its files would give them to everybody",
                reason="private",
                next=f"willcall archive readers add {row.name} CONTACT --mirror",
            )
        if "beside" in call.query:
            return _framed(self._static.lists(row, call.query["beside"]))
        if "unit" in call.query:
            return _framed(self._static.files(row, call.query["unit"]))
        return self._units(row)

    async def _units(self, row: Archive) -> AsyncIterator[bytes]:
        yield msgspec.json.encode({"total": await self._static.count(row)}) + b"\n"
        async for unit in self._static.units(row):
            data = None if unit.data is None else b64encode(unit.data).decode()
            line = {"unit": unit.name, "tag": unit.tag, "data": data}
            yield msgspec.json.encode(line) + b"\n"

    # --- changing ----------------------------------------------------------------------------

    async def _create(self, call: Call) -> Any:
        body = await call.json()
        posting = optional(body, "posting") or "off"
        if posting not in ("off", "hold", "append"):
            raise Usage(f"{posting[:20]!r} is no policy", next="off, hold or append")
        name, private = str(body.get("name", "")), body.get("private") is True
        row = await self._publisher.create(call.owner, name, posting=posting, private=private)
        return self._document(row)

    async def _feed(self, call: Call) -> Any:
        """A new address at which one archive is read here, and nothing else."""
        row, body = self._find(call), await call.json()
        device, listen = optional(body, "device"), self._core.config.local.listen
        if not listen:
            raise ConfigBroken(
                "feeds are read at local.listen, which is not set",
                next='local.listen = "127.0.0.1:4626" in config.toml, and a restart',
            )
        owners.checked_name(device or row.name)
        secret, now = self._core.randomness.bytes(36), self._core.now()
        said = device or f"feed of {row.name}"

        def work(tx: Tables) -> tuple[Token, str]:
            return devices.issue(tx, call.owner, secret, said, now, archive=row.id)

        token, text = await self._core.db.transact(work)
        url = reading.address(listen, text, row.name)
        return {"name": row.name, "url": url, "atom": f"{url}feed.atom", "json": f"{url}feed.json",
                "id": token.id.hex(), "device": token.device}  # fmt: skip

    async def _readers(self, call: Call) -> Any:
        """Who may fetch a private archive, beside its owner."""
        return self._named(call.owner, self._find(call))

    async def _change_readers(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        who, action = str(body.get("who", "")), str(body.get("action", ""))
        if action == "remove":
            return self._named(call.owner, await self._node.readers.remove(call.owner, name, who))
        mirror = body.get("mirror") is True
        made = await self._node.readers.add(call.owner, name, who, mirror=mirror)
        return self._named(call.owner, made)

    def _named(self, owner: Owner, row: Archive) -> list[dict[str, Any]]:
        if not row.private:
            raise Usage(
                f"{row.name} is for everybody: it has no list of readers",
                next="willcall archive create NAME --private",
            )

        def work(tx: Tables) -> list[dict[str, Any]]:
            return [_reader(tx.peers.get(owner.owner, each.did), each) for each in row.readers]

        return self._core.db.read(work)

    async def _publish(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        if body.get("new_epoch"):
            await self._publisher.new_epoch(call.owner, name)
        return self._document(await self._publisher.publish(call.owner, name))

    async def _post(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        tally = await self._node.poster.by_hand(call.owner, name, texts(body, "refs"))
        return {"added": tally.added, "known": tally.known, "size": tally.size}

    async def _remove(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        ref, reason = str(body.get("ref", "")), str(body.get("reason", ""))
        said = await self._publisher.remove(call.owner, name, ref, reason)
        return {"name": name, "n": said.index, "message": cids.show(said.message),
                "reason": reason}  # fmt: skip

    async def _drop(self, call: Call) -> Any:
        row = self._find(call)
        if row.urls:
            raise Usage(f"{row.name} is followed", next=f"willcall archive unfollow {row.name}")
        await self._publisher.drop(call.owner, row.name)
        return {"name": row.name}

    # --- following ---------------------------------------------------------------------------

    async def _follow(self, call: Call) -> Any:
        body = await call.json()
        row = await self._follower.follow(call.owner, texts(body, "urls"), optional(body, "name"))
        return self._document(row)

    async def _poll(self, call: Call) -> Any:
        """Asks for what is new now; an own archive that was restored catches up `from` a mirror."""
        row, body = self._find(call), await call.json()
        by = optional(body, "from")
        if not by and not row.urls:
            raise Usage(
                f"{row.name} is yours: there is nobody to ask",
                next=f"willcall archive poll {row.name} --from URL   (a mirror)",
            )
        await self._follower.again(row)
        made = await self._follower.poll(row, place.parse(by) if by else None)
        return {"name": made.name, "before": made.before, "after": made.after,
                "verified": made.verified, "missing": made.missing,
                "requests": made.requests, "epoch": made.epoch}  # fmt: skip

    async def _verify(self, call: Call) -> Any:
        row = self._find(call)
        size, messages, missing = await self._follower.verify(row)
        reason = f"{missing} of its messages are not here" if missing else None
        if row.fork:
            reason = row.reason
        return {"name": row.name, "size": size, "messages": messages, "missing": missing,
                "verified": reason is None, "reason": reason, "forked": bool(row.fork)}  # fmt: skip

    async def _unfollow(self, call: Call) -> Any:
        async with self._follower.ended(call.owner, word(call)) as row:
            await self._publisher.drop(call.owner, row.name)
        return {"name": row.name}

    async def _add(self, call: Call) -> Any:
        """Appends messages from an upload, in constant memory; what is known is left out.

        So is what is larger than the node takes; its places in the upload are told.
        """
        name, form = word(call), call.one("format") or "mbox"
        _, chunks = call.stream(UPLOAD)
        row = self._core.db.read(lambda tx: library.own(tx, call.owner, name))
        largest, left = self._core.config.message, uploads.Left()
        messages = (
            uploads.framed(chunks, largest, left)
            if form == FRAMES
            else uploads.split(chunks, largest, form, left)
        )
        tally = Tally(size=self._core.db.read(lambda tx: library.log_of(tx, row)).size)
        async with self._adding:
            try:
                intake = Intake(self._core, self._publisher, call.owner, name, tally)
                await intake.take(messages)
            except WillcallError as error:
                if tally.added:
                    error.text += f" (the {tally.added} messages before are in the archive)"
                raise
            finally:
                self._publisher.serve(name)
        return {
            "added": tally.added,
            "known": tally.known,
            "broken": tally.broken + left.count,
            "size": tally.size,
            "which": tally.which,
            "unnamed": tally.broken - len(tally.which),
            "large": left.places,
            "left": left.count,
        }


def _reader(peer: Peer | None, reader: Reader) -> dict[str, Any]:
    return {
        "name": None if peer is None else peer.name,
        "did": names.did(reader.did),
        "mirror": not reader.sealing,
        "added": views.time(reader.added) if reader.added else None,
    }


_BEHIND = "restored from a backup: it signs nothing until it caught up, or begins a new epoch"


def document(row: Archive, log: Log | None, origin: str) -> dict[str, Any]:
    """What `archive show` says."""
    at = library.place_of(row, origin)
    url = at.url if row.urls or row.public else None
    about = None if log is None else library.about_of(log)
    frontier = None if log is None else Frontier(log.size, log.peaks)
    return {
        "name": row.name,
        "url": url,
        "link": None if url is None else place.link(url, row.publisher),
        "vkey": None if about is None else about.vkey,
        "size": 0 if frontier is None else frontier.size,
        "root": None if frontier is None else b64encode(frontier.root).decode(),
        "followed": bool(row.urls),
        "verified_at": views.time(row.verified),
        "epoch": row.epoch,
        "access": None if about is None else about.access,
        "served": row.public,
        "posting": None if row.urls else row.posting,
        "reason": row.reason or (_BEHIND if row.behind else None),
        "addresses": list(row.urls),
        "fork": [_readable(each) for each in row.fork] or None,
    }


def _readable(proof: bytes) -> str:
    """A checkpoint as it is; the description of an epoch, which is no text, as base64."""
    try:
        return proof.decode()
    except UnicodeDecodeError:
        return b64encode(proof).decode()


async def _framed(files: AsyncIterator[File]) -> AsyncIterator[bytes]:
    """Files, each behind a line that says which it is and how long."""
    async for file in files:
        line = {"unit": file.unit, "path": file.path, "tag": file.tag, "size": len(file.data)}
        yield msgspec.json.encode(line) + b"\n"
        if file.data:
            yield file.data
