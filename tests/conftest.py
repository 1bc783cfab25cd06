"""What every test may ask for, and how Hypothesis searches.

`HYPOTHESIS_PROFILE=ci` (the default under CI=1) tries the same examples on every run;
`dev` looks for new ones; `soak` looks longer.
"""

import os
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line of what a test counted; all are printed behind the tests' summary."""
    return request.config.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How much was tried, where a number says more than a dot."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.line(line)
