"""What is installed: the wheel built of a checkout, looked into, and run from a fresh venv.

Its dependencies are those of this environment, so nothing is fetched.
"""

import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from shutil import copytree, ignore_patterns

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.homes import clean_env

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "node", "cli", "bootstrap", "tests", "docs")


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=cwd, env=clean_env(), check=False
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of the files of a clean checkout, without what a build before left behind."""
    checkout, made = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            copytree(source, checkout / name, ignore=ignore_patterns("__pycache__", "*.egg-info"))
        else:
            (checkout / name).write_bytes(source.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", str(made), ".",
        cwd=checkout)  # fmt: skip
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel in it; a short path, for sockets."""
    folder = tmp_path_factory.mktemp("v")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    python = str(folder / "bin" / "python")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel), cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth is searched, its own .pth files are not: our checkout stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def test_only_what_belongs_into_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {PurePosixPath(name).parts[0] for name in names}
    assert tops == {"node", "cli", "bootstrap", f"willcall-{version('willcall')}.dist-info"}
    data = {name for name in names if "dist-info" not in name and not name.endswith(".py")}
    pages = {name for name in data if name.startswith("node/web/templates/")}
    assert {PurePosixPath(name).suffix for name in pages} == {".css", ".html"}
    assert data - pages == {"bootstrap/seeds.txt", "node/client/rdap-dns.json"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_module_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in ("node", "cli", "bootstrap"):
        for path in (CHECKOUT / package).rglob("*.py"):
            assert str(path.relative_to(CHECKOUT)) in names


@pytest.mark.slow
def test_it_runs_where_there_is_no_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(str(installed / "python"), "-c", "import node, cli; print(node.__file__)",
                cwd=tmp_path)  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed.parent)
    program = str(installed / "willcall")
    assert run(program, "version", cwd=tmp_path) == f"willcall {version('willcall')}\n"
    assert "Example: willcall send" in run(program, "send", "--help", cwd=tmp_path)
    assert ".SH COMMANDS" in run(program, "man", cwd=tmp_path)
    story = run(program, "try", cwd=tmp_path).splitlines()
    assert "confirmed" in story[-1]


@pytest.mark.slow
def test_the_words_of_mail_are_read_by_the_installed_program(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "import trio\nfrom node.search.reader import ChildReader\n"
        "print(trio.run(ChildReader().words, b'Subject: s\\n\\nwords').body)"
    )
    assert run(str(installed / "python"), "-c", code, cwd=tmp_path) == "words\n"
