"""What a power cut may leave of a traced run, under three models of a file system.

    dropped   strict POSIX: of a file what was synced, of a folder the names that were there when
              it was synced; all else is gone
    cut       names last in the order they were made (a journal: a sync of anything makes all
              earlier ones last), files end anywhere behind what was synced
    zeroed    any of the names not synced may last (but no removal overtakes what was done in its
              folder before: no file system in use does that); files have their full length, and
              zeros where the bytes had not got there, sector by sector

Each state is a real folder, to be opened by the real store.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.trace import Call

SECTOR = 512
MODELS = ("dropped", "cut", "zeroed")


@dataclass(eq=False, slots=True)
class File:
    """Bytes, of which the first `synced` are durable.

    Attributes:
        older: of a small file that is written over: its bytes since the last sync.
    """

    data: bytearray = field(default_factory=bytearray)
    synced: int = 0
    syncing: int = 0
    older: list[bytes] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Folder:
    """Names as running programs see them, and those that are durable."""

    names: "dict[str, Node]" = field(default_factory=dict)
    durable: "dict[str, Node]" = field(default_factory=dict)


Node = File | Folder
State = dict[str, bytes | None]
"""Paths below the root: their bytes, or None for a folder."""


@dataclass(eq=False, slots=True)
class Change:
    """A name in a folder leads to something else, or to nothing."""

    folder: Folder
    name: str
    node: Node | None
    durable: bool = False


class Disk:
    """A disk to which the calls of a run are done again, one by one."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.tree = Folder()
        # One entry for each call that changes names: its changes, which happen together.
        self.changes: list[list[Change]] = []
        self.journaled = 0

    def take(self, call: Call) -> None:
        """One call, or its beginning, is done."""
        if call.name == "fsync":
            self._sync(call)
        elif not call.begins:
            getattr(self, f"_{call.name}")(call)

    # --- the calls -----------------------------------------------------------------------

    def _sync(self, call: Call) -> None:
        node = self._find(call.path)
        if call.begins:
            if isinstance(node, File):
                node.syncing = len(node.data)
            return
        if isinstance(node, File):
            node.synced, node.older = max(node.synced, node.syncing), []
        elif isinstance(node, Folder):
            for change in (c for group in self.changes for c in group if not c.durable):
                if change.folder is node:
                    change.durable = True
                    _set(node.durable, change)
        self.journaled = len(self.changes)

    def _open(self, call: Call) -> None:
        node = self._find(call.path)
        if node is None and "O_CREAT" in call.flags:
            self._change((call.path, File()))
        elif isinstance(node, File) and "O_TRUNC" in call.flags:
            node.data, node.synced, node.syncing = bytearray(), 0, 0

    def _write(self, call: Call) -> None:
        node = self._find(call.path)
        if isinstance(node, File):
            node.data += call.data

    def _pwrite(self, call: Call) -> None:
        """A small file is written over, from its beginning: a sector is never torn."""
        node = self._find(call.path)
        if isinstance(node, File):
            assert len(node.data) <= len(call.data) < SECTOR, call.path
            node.older.append(bytes(node.data))
            node.data = bytearray(call.data)

    def _ftruncate(self, call: Call) -> None:
        assert call.path.endswith("/lock"), call.path
        node = self._find(call.path)
        if isinstance(node, File):
            node.data, node.synced, node.syncing = bytearray(), 0, 0

    def _mkdir(self, call: Call) -> None:
        self._change((call.path, Folder()))

    def _rename(self, call: Call) -> None:
        self._change((call.to, self._find(call.path)), (call.path, None))

    def _link(self, call: Call) -> None:
        self._change((call.to, self._find(call.path)))

    def _unlink(self, call: Call) -> None:
        self._change((call.path, None))

    _rmdir = _unlink

    def _change(self, *wanted: tuple[str, Node | None]) -> None:
        group = []
        for path, node in wanted:
            above, _, name = path.rpartition("/")
            folder = self._find(above)
            assert isinstance(folder, Folder), path
            group.append(Change(folder=folder, name=name, node=node))
            _set(folder.names, group[-1])
        self.changes.append(group)

    def _find(self, path: str) -> Node | None:
        node: Node | None = self.tree
        for name in path.removeprefix(self._root).split("/"):
            if name:
                node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    # --- what a cut leaves ---------------------------------------------------------------

    def left(self, model: str, chance: random.Random) -> State:
        """Paths below the root: their bytes, or None for a folder."""
        names = {"dropped": self._dropped, "cut": self._ordered, "zeroed": self._any}[model]
        last = {"dropped": _dropped, "cut": _cut, "zeroed": _zeroed}[model]

        def bytes_of(file: File) -> bytes:
            if not file.older:
                return last(file, chance)
            if model == "dropped":
                return file.older[0]
            return chance.choice([*file.older, bytes(file.data)])

        found: dict[str, bytes | None] = {}
        _walk(self.tree, "", names(chance), bytes_of, found)
        return found

    def _dropped(self, chance: random.Random) -> "Names":
        return _durable(())

    def _ordered(self, chance: random.Random) -> "Names":
        kept = self.changes[: chance.randint(self.journaled, len(self.changes))]
        made: dict[Folder, dict[str, Node]] = {}
        for change in (c for group in kept for c in group):
            _set(made.setdefault(change.folder, {}), change)
        return lambda folder: made.get(folder, {})

    def _any(self, chance: random.Random) -> "Names":
        """Any names, but a removal never overtakes what its folder saw before it."""
        kept: list[Change] = []
        lost: set[Folder] = set()
        for group in self.changes:
            missing = [change for change in group if not change.durable]
            removal = all(change.node is None for change in group)
            overtakes = removal and any(change.folder in lost for change in missing)
            if missing and not overtakes and chance.random() < 0.5:
                kept += missing
            else:
                lost |= {change.folder for change in missing}
        return _durable(kept)


Names = Callable[[Folder], dict[str, Node]]


def _durable(kept: Iterable[Change]) -> Names:
    """The durable names, and some more changes."""
    more: dict[Folder, list[Change]] = {}
    for change in kept:
        more.setdefault(change.folder, []).append(change)

    def names(folder: Folder) -> dict[str, Node]:
        made = dict(folder.durable)
        for change in more.get(folder, ()):
            _set(made, change)
        return made

    return names


def _set(names: dict[str, Node], change: Change) -> None:
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def _walk(
    folder: Folder,
    path: str,
    names: Names,
    last: Callable[[File], bytes],
    found: dict[str, bytes | None],
) -> None:
    for name, node in names(folder).items():
        below = f"{path}/{name}"
        if isinstance(node, File):
            found[below] = last(node)
        else:
            found[below] = None
            _walk(node, below, names, last, found)


def _dropped(file: File, chance: random.Random) -> bytes:
    return bytes(file.data[: file.synced])


def _cut(file: File, chance: random.Random) -> bytes:
    return bytes(file.data[: chance.randint(file.synced, len(file.data))])


def _zeroed(file: File, chance: random.Random) -> bytes:
    """Whole sectors that did not get there are zeros; what was synced is whole."""
    made, scattered = bytearray(file.data), chance.random() < 0.5
    end = chance.randint(file.synced, len(made))
    first = -(-file.synced // SECTOR) * SECTOR
    for at in range(first, len(made), SECTOR):
        if chance.random() < 0.5 if scattered else at >= end:
            made[at : at + SECTOR] = bytes(len(made[at : at + SECTOR]))
    return bytes(made)


def lay(state: State, root: Path) -> None:
    """Makes the folder that a cut left."""
    for path, data in state.items():
        place = root / path.removeprefix("/")
        if data is None:
            place.mkdir(mode=0o700)
        else:
            place.write_bytes(data)
