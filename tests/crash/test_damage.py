"""Damaged copies of a home: each gives a plain message, or the right answer.

Never fewer messages in silence (I13), never other bytes (I9). Files of the database and of large
blocks are flipped, zeroed, cut, lost, exchanged, or put back as they were before.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from node import homes
from node.errors import StoreFailed, WillcallError
from node.machines.rows import Mail, Sent
from node.services import node as nodes
from node.services.mailbox import Contents
from node.system import SystemClock, SystemRandomness
from tests.crash import worker
from tests.crash.sizes import sized
from tests.crash.worker import Load, Notes, Nowhere

COPIES = sized(600, 10_000)
LIVES = 3
"""Each life's log becomes a table at the next start: a store with tables, manifest and log."""

Answer = dict[str, str]
"""For every message that is shown: what its bytes hash to, or the word why they can't be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A home, as it is and as it was a life ago, and all mail in it."""

    home: Path
    older: Path
    mail: Answer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("damage")
    home, older, notes = folder / "home", folder / "older", Notes(folder / "notes")
    for life in range(LIVES):
        shutil.rmtree(older, ignore_errors=True)
        if home.exists():
            shutil.copytree(home, older)
        load = Load(seed=life, count=16, sizes=(300, 9_000, 60_000, 150_000))
        trio.run(worker.live, home, notes, load)
    mail = trio.run(answer, home)
    assert len(mail) > 40
    assert not [word for word in mail.values() if word.startswith("damaged")]
    return Whole(home=home, older=older, mail=mail)


async def answer(folder: Path) -> Answer:
    """All mail of a home, read as its owners would.

    Raises:
        StoreFailed: the home can't be opened, or its rows can't be read.
    """
    home = homes.Home(folder)
    home.check_store()
    async with homes.opened(home) as (db, files):
        node = nodes.make(
            db=db,
            files=files,
            clock=SystemClock(),
            randomness=SystemRandomness(),
            exchange=Nowhere(),
            config=home.load(),
        )
        contents = Contents(node.core)
        owners = db.read(lambda tx: list(tx.owners.scan()))
        made: Answer = {}
        for owner in owners:
            for row in db.read(lambda tx: list(tx.mails.by("shown", owner.owner))):  # noqa: B023
                made[f"{owner.name} {row.n}"] = await read(contents, row)
            for sent in db.read(lambda tx: list(tx.sent.by("order", owner.owner))):  # noqa: B023
                made[f"{owner.name} sent {sent.order}"] = await read(contents, sent)
    return made


async def read(contents: Contents, row: Mail | Sent) -> str:
    """What the bytes of a message hash to; for want of them why, in words."""
    found = sha256(bytes(row.message))
    try:
        async with aclosing(contents.read(row)) as pieces:
            async for piece in pieces:
                found.update(piece)
    except WillcallError as error:
        return f"{error.reason}: {error.text}"
    return found.hexdigest()


# --- harms ------------------------------------------------------------------------------

Harm = Callable[[random.Random, Path, Sequence[Path], Path], None]


def flipped(chance: random.Random, path: Path, _all: Sequence[Path], _old: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 3, 50]) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def zeroed(chance: random.Random, path: Path, _all: Sequence[Path], _old: Path) -> None:
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data) + 1)
    length = min(chance.choice([1, 64, 4096]), len(data) - at)
    data[at : at + length] = bytes(length)
    path.write_bytes(data)


def cut(chance: random.Random, path: Path, _all: Sequence[Path], _old: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data) + 1)])


def gone(chance: random.Random, path: Path, _all: Sequence[Path], _old: Path) -> None:
    path.unlink()


def exchanged(chance: random.Random, path: Path, every: Sequence[Path], _old: Path) -> None:
    other = chance.choice(every)
    ours, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(ours)


def aged(chance: random.Random, path: Path, _all: Sequence[Path], old: Path) -> None:
    """An older copy of the file is put back; one that was not there is lost."""
    if old.exists():
        shutil.copyfile(old, path)
    else:
        path.unlink()


HARMS: Sequence[Harm] = (flipped, flipped, zeroed, cut, gone, exchanged, aged)


def harmed(whole: Whole, copy: Path, seed: int) -> str:
    """A copy with one file harmed; which, and how."""
    shutil.copytree(whole.home, copy)
    chance = random.Random(seed)
    db = sorted(path for path in (copy / "db").iterdir() if path.name not in ("LOCK",))
    blocks = sorted(path for path in (copy / "blocks").glob("*/*") if path.is_file())
    every = blocks if seed % 5 == 4 else db
    path, harm = chance.choice(every), HARMS[seed % len(HARMS)]
    harm(chance, path, every, whole.older / path.relative_to(copy))
    return f"copy {seed}: {path.relative_to(copy)} {harm.__name__}"


def asked(copy: Path) -> Answer | None:
    """All mail of a copy; None: it was refused, in words."""
    words: list[str] = []
    try:
        return trio.run(answer, copy)
    except* StoreFailed as group:
        words += map(str, group.exceptions)
    assert all(words)
    return None


def outcome(whole: Whole, copy: Path, what: str) -> str:
    """`refused`, `told` (of single messages) or `right`; anything else is a failure."""
    found = asked(copy)
    if found is None:
        return "refused"
    assert found.keys() == whole.mail.keys(), f"{what}: messages are missing, and nothing said so"
    other = [word for name, word in found.items() if word != whole.mail[name]]
    assert all(": " in word for word in other), f"{what}: other bytes are shown"
    return "told" if other else "right"


def test_damaged_copies(whole: Whole, figure: Callable[[str], None]) -> None:
    found: Counter[str] = Counter()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for seed in range(COPIES):
            copy = Path(folder) / "home"
            what = harmed(whole, copy, seed)
            found[outcome(whole, copy, what)] += 1
            shutil.rmtree(copy)
    assert min(found[word] for word in ("refused", "told", "right")) > COPIES // 50, found
    figure(
        f"damaged copies: {COPIES:,}; {found['refused']:,} refused in words, {found['told']:,} "
        f"said which messages, {found['right']:,} were right, 0 lost in silence"
    )
