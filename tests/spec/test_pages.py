"""The pages against the numbers, words and files they speak of."""

import re

import pytest

from node import limits
from node.objects import answer, registry
from tests.spec import form, make_vectors

PAGES = {page.name: page.read_text("utf-8") for page in sorted(form.FOLDER.parent.glob("*.md"))}

NUMBERS = (
    limits.ROOT,
    limits.BODY,
    limits.PART,
    limits.BLOCK,
    limits.MESSAGE_LARGEST,
    limits.MESSAGE_DEFAULT,
    limits.NOTIFICATION,
    limits.NOTIFICATIONS,
    limits.EVIDENCE,
    limits.RECEIPT,
    limits.SMALL,
    limits.RECORD,
    limits.INTRODUCTION,
    limits.CAR,
    limits.CAR_ANSWER,
    limits.ANSWER,
    limits.POLL_ANSWER,
    limits.VALUES,
    limits.ANSWER_VALUES,
    limits.ASK_OVER,
)


def test_the_pages_are_all_there() -> None:
    assert len(PAGES) == 14
    for text in PAGES.values():
        for name in re.findall(r"\]\(([^)#]+)\)", text):
            assert name.startswith("http") or name in PAGES


@pytest.mark.parametrize("number", sorted(set(NUMBERS)))
def test_numbers_are_on_the_page(number: int) -> None:
    assert f"| {number:,} |" in PAGES["01-overview-and-limits.md"]


def test_numbers_of_other_units() -> None:
    page = PAGES["01-overview-and-limits.md"]
    for words in ("| 1 … 512 |", "| 256 |", "| 1 … 4 |", "| 400 days |", "| 14 days |", "| 6 |"):
        assert words in page
    assert f"{limits.KEEP_LONGEST:,} ms" in PAGES["04-objects.md"]


def test_every_kind_has_its_section() -> None:
    for kind in (*registry.KINDS, "notification"):
        assert re.search(rf"^## 4\.\d+ {kind}$", PAGES["04-objects.md"], re.MULTILINE)
    for state in answer.STATES:
        assert f"`{state}`" in PAGES["04-objects.md"]


def test_every_vector_file_is_described() -> None:
    for name in make_vectors.FILES:
        assert f"`{name}`" in PAGES["10-vectors.md"]


def test_every_door_is_described() -> None:
    doors = {each["door"] for each in form.load("refused.json")["refused"]}
    for door in doors - set(registry.KINDS):
        assert f"`{door}`" in PAGES["10-vectors.md"]


def test_every_reason_is_described() -> None:
    pages = PAGES["06-life-of-a-message.md"] + PAGES["08-meeting.md"]
    for each in form.load("transfer.json")["answers"]:
        reason = each["value"].get("reason")
        assert reason is None or f"`{reason}`" in pages
