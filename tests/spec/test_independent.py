"""The vectors as somebody reads them who has never seen the implementation."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec import form, independent


@pytest.mark.parametrize("check", independent.CHECKS, ids=lambda check: check.__name__)
def test_the_vectors_hold(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("module", [form, independent])
def test_it_shares_nothing_with_the_implementation(module: object) -> None:
    source = Path(str(getattr(module, "__file__", ""))).read_text("utf-8")
    for found in ast.walk(ast.parse(source)):
        names = [found.module or ""] if isinstance(found, ast.ImportFrom) else []
        names += [each.name for each in found.names] if isinstance(found, ast.Import) else []
        assert not [name for name in names if name.split(".")[0] in ("node", "cli", "bootstrap")]
