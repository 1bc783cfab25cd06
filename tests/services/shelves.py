"""Archives on the machines of a simulated world."""

from collections.abc import Sequence

from node.archive import tile as tiles
from node.encoding import cid as cids
from node.machines.rows import Archive, Log
from node.ports import Request, Response
from node.services import library
from node.services.publish import Tally
from tests.archive import independent
from tests.archive.independent import Verified
from tests.fakes.world import Machine


def letter(number: int, text: str = "text") -> bytes:
    """A small message, another for each number."""
    at = f"12:{number // 60 % 60:02}:{number % 60:02}"
    return (
        f"From: a@example.org\nDate: Thu, 2 Jan 2020 {at} +0000\n"
        f"Message-ID: <{number}@example.org>\nSubject: number {number}\n\n{text} {number}\n"
    ).encode()


async def published(machine: Machine, name: str, contents: Sequence[bytes] = ()) -> Archive:
    """An archive that is served, with these messages."""
    await machine.on.publisher.create(machine.owner(), name)
    await added(machine, name, contents)
    return await machine.on.publisher.publish(machine.owner(), name)


async def added(machine: Machine, name: str, contents: Sequence[bytes]) -> Tally:
    """Appends messages; durable and served when it returns."""
    publisher, tally = machine.on.publisher, Tally()
    found = [publisher.sign(machine.owner(), each) for each in contents]
    await publisher.add(machine.owner(), name, found, tally)
    publisher.serve(name)
    return tally


def row_of(machine: Machine, name: str) -> Archive:
    me = machine.owner().owner
    return machine.on.core.db.read(lambda tx: library.find(tx, me, name))


def log_of(machine: Machine, name: str) -> Log:
    row = row_of(machine, name)
    return machine.on.core.db.read(lambda tx: library.log_of(tx, row))


async def get(machine: Machine, path: str, etag: str = "", accept: str = "") -> Response:
    """What anybody is answered."""
    request = Request(method="GET", path=path, if_none_match=etag, accept=accept)
    return await machine.on.peers.answer(request, "127.0.0.9")


async def fetched(machine: Machine, name: str, log: Log) -> dict[str, bytes]:
    """Everything a verifier may ask for: a sync one can't wait."""
    base, found = f"/archives/{name}/", dict[str, bytes]()
    paths = [base + "about", base + "checkpoint"]
    paths += [base + tiles.path(t) for t in tiles.row(None, 0, log.size)]
    paths += [base + tiles.path(t) for t in tiles.grown(0, log.size)]
    row = row_of(machine, name)
    items = machine.on.core.db.read(lambda tx: list(library.items_of(tx, row)))
    for item in items:
        paths += [f"/ipfs/{cids.show(each)}" for each in (*item.parts, item.message)]
    for path in paths:
        answer = await get(machine, path)
        if answer.status == 200:
            found[path] = answer.body
    return found


async def verified(machine: Machine, name: str) -> Verified:
    """The whole archive as the independent verifier reads it."""
    served = await fetched(machine, name, log_of(machine, name))
    return independent.verify(lambda path: served[path], f"/archives/{name}/")
