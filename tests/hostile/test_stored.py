"""What is no backup, bundle, entry or tile is refused; a name in a Maildir is obeyed by nobody."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from cli import importing
from node.archive import entry, tile
from node.archive.place import Place
from node.errors import Malformed
from node.mail import maildir
from node.objects import backup
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services.reach import Reach
from node.units import ByteCount, Millis
from tests.hostile.catalogue import Case, hexed, load, title
from tests.spec import form

PLACE = Place(origin="127.0.0.1:4625", root="", name="cats")


class Server:
    """`ports.Exchange`: everything is answered with the same bytes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        return Response(status=200, body=self._body)


def asked(path: str, body: bytes) -> bytes:
    """What a follower takes for the tile of that name."""
    return trio.run(Reach(Server(body), PLACE, None).tile, tile.parse(path))


def as_file(data: bytes) -> object:
    return backup.read_header(io.BytesIO(data).read)


def in_pieces(data: bytes) -> object:
    """The records, however they are cut."""
    whole = backup.records([data])
    return list(
        zip(whole, backup.records(data[i : i + 7] for i in range(0, len(data), 7)), strict=True)
    )


DOORS: dict[str, Callable[[Case, bytes], object]] = {
    "head": lambda case, data: as_file(data),
    "records": lambda case, data: in_pieces(data),
    "bundle": lambda case, data: entry.unbundle(data, case["count"]),
    "entry": lambda case, data: entry.decode(data),
    "hashes": lambda case, data: asked(case["path"], data),
}


@pytest.mark.parametrize("case", [*load("backups.json"), *load("bundles.json")], ids=title)
def test_what_is_refused(case: Case) -> None:
    with pytest.raises(Malformed) as caught:
        DOORS[case["door"]](case, hexed(case["bytes"]))
    assert caught.value.reason == case["reason"]


def test_each_door_opens_to_what_is_right() -> None:
    """What the bad ones were made of is taken: else anything would be refused for anything."""
    right = form.load("backup.json")["backups"][0]
    head = bytes.fromhex(right["header"])
    as_file(backup.begin(head))
    in_pieces(backup.encode(backup.StoredRow(key=b"k", value=b"v")) + backup.encode(END))
    entries = [bytes.fromhex(each["bytes"]) for each in form.load("archives.json")["entries"]]
    assert entry.unbundle(entry.bundle(entries), len(entries)) == entries
    assert all(entry.decode(each) for each in entries)
    assert asked("tile/0/000.p/2", bytes(64)) == bytes(64)


END = backup.Counter().end()


@pytest.mark.parametrize("case", load("maildir.json"), ids=title)
def test_names_in_a_maildir(case: Case, tmp_path: Path) -> None:
    name, moment = case["name"], maildir.moment(case["name"])
    assert (None if moment is None else moment // 1000) == case["seconds"]
    assert maildir.flags(name) == case["flags"]
    (tmp_path / name).write_bytes(b"hello")
    broken: list[str] = []
    found = list(importing._in_maildir([(tmp_path, False)], 1_000, broken))
    assert [each.content for each in found] == ([b"hello"] if case["taken"] else [])
    assert all(each.unread == ("S" not in case["flags"]) for each in found)
    assert all(each.at == moment for each in found if moment)
    assert not broken
