"""The guide, run page by page as a reader would: real programs on real terminals."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.guide.transcript import Differs, Step, filled, logins, matches, steps

PAGES = sorted((CHECKOUT / "docs" / "guide").glob("*.md"))


@pytest.fixture
def house() -> Iterator[Path]:
    """A folder with a short path: nodes' sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="wg-") as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_true(page: Path, house: Path) -> None:
    found = steps(page.read_text(encoding="utf-8"))
    assert found or page.stem == "README"
    with logins(house) as people:
        for step in found:
            people.run(step)


# --- the runner itself: it must be able to say no -------------------------------------


@pytest.mark.parametrize(
    ("expected", "lines", "fits"),
    [
        (["a"], ["a", ""], True),
        (["a"], ["a", "b"], False),
        (["a", "…"], ["a", "b", "c"], True),
        (["a", "…"], ["a"], True),
        (["a", "…", "z"], ["a", "b", "z"], True),
        (["a", "…", "z"], ["a", "b"], False),
        (["…", "z"], ["z"], True),
        (["x … z"], ["x and z"], True),
        (["x … z"], ["x and y"], False),
        (["x…", "y"], ["x1", "2", "y"], False),
        ([], [""], True),
        ([], ["something"], False),
        (["…"], ["a", "b"], True),
        (["(a+)"], ["(a+)"], True),
    ],
)
def test_outputs_are_held_against_the_page(
    expected: list[str], lines: list[str], fits: bool
) -> None:
    assert matches(expected, lines) is fits


def test_a_short_word_is_the_newest_that_fits() -> None:
    said = ["one bafy123abc and", "two bafy456abc", "x"]
    assert filled("willcall status bafy…abc", said) == "willcall status bafy456abc"
    assert filled("f --x=a '… b'", ["a"]).startswith("f --x=a ")
    with pytest.raises(Differs, match="no output above"):
        filled("willcall status zzz…", said)


def test_output_that_differs_is_told(house: Path) -> None:
    with logins(house) as people, pytest.raises(Differs, match="the program"):
        people.run(Step(login="anna", command="echo one", expected=["two"]))


def test_a_failure_must_be_shown(house: Path) -> None:
    with logins(house) as people:
        people.run(Step(login="anna", command="false", expected=[]))
        with pytest.raises(Differs, match=r"echo \$\?"):
            people.run(Step(login="anna", command="true", expected=[]))
        people.run(Step(login="anna", command="echo $?", expected=["1"]))


def test_logins_share_nothing(house: Path) -> None:
    with logins(house) as people:
        people.run(Step(login="anna", command="echo secret > file", expected=[]))
        people.run(Step(login="ben", command="ls -A", expected=[]))
        people.run(Step(login="anna", command="cat file", expected=["secret"]))


def test_a_program_in_the_background_is_awaited(house: Path) -> None:
    with logins(house) as people:
        people.run(Step(login="anna", command="echo ready; sleep 600 &", expected=["ready"]))
        people.run(Step(login="anna", command="echo on", expected=["on"]))
