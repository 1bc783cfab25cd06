"""What every test may ask for, and how Hypothesis searches.

`HYPOTHESIS_PROFILE=ci` (the default under CI=1) tries the same examples on every run;
`dev` looks for new ones; `soak` looks longer.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parent.parent

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None)
settings.register_profile("soak", settings.get_profile("dev"), max_examples=5_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real mail and published vectors; skips when it is not there."""
    folder = Path(
        os.environ.get("WILLCALL_CORPUS") or CHECKOUT / ".." / "shared" / "corpus"
    ).resolve()
    if not (folder / "MANIFEST.tsv").is_file():
        pytest.skip("no corpus: put it at ../shared/corpus or name it in WILLCALL_CORPUS")
    return folder


# --- figures ----------------------------------------------------------------------------

_FIGURES = pytest.StashKey[list[str]]()


def _figures(config: pytest.Config) -> list[str]:
    return config.stash.setdefault(_FIGURES, [])


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line of what a test counted; all are printed behind the tests' summary."""
    return _figures(request.config).append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run on every core, each worker hands over what it counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = _figures(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker is done: takes what it hands over (nothing, if it crashed)."""
    _figures(node.config).extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How much was tried, where a number says more than a dot."""
    if _figures(config):
        terminalreporter.section("figures")
        for line in sorted(_figures(config)):
            terminalreporter.line(line)
