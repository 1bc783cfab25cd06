"""Homes for tests; each in its own short temporary folder (a socket's path must be short)."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.homes import Home, ended, meet

Make = Callable[[str], Home]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        yield Path(path)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Makes homes; their nodes are not started, and ended whatever happens."""
    homes: list[Home] = []

    def made(name: str) -> Home:
        homes.append(Home(folder, name))
        homes[-1].init()
        return homes[-1]

    with ended(homes):
        yield made


@pytest.fixture
def pair(make: Make) -> tuple[Home, Home]:
    """Anna and ben: running, and contacts of each other."""
    anna, ben = make("anna"), make("ben")
    for home in (anna, ben):
        home.start()
    meet(anna, ben)
    return anna, ben


@pytest.fixture(scope="module")
def friends() -> Iterator[tuple[Home, Home]]:
    """The same two for all tests of a module that leave them as they found them."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        anna, ben = Home(Path(path), "anna"), Home(Path(path), "ben")
        with ended([anna, ben]):
            for home in (anna, ben):
                home.init()
                home.start()
            meet(anna, ben)
            yield anna, ben
