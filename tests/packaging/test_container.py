"""The container recipe. No engine is needed: its steps are run in chroots of a fresh Debian.

That takes root, `debootstrap`, Debian's and Python's package servers and three minutes, so it is
asked for: `WILLCALL_CONTAINER=1 make test ARGS=tests/packaging`. That what it names is there is
looked at always.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

RECIPE = (CHECKOUT / "docs" / "Containerfile").read_text()
STEP = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)
ASKED = pytest.mark.skipif(
    not os.environ.get("WILLCALL_CONTAINER"), reason="asked for with WILLCALL_CONTAINER=1"
)


def steps() -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in STEP.finditer(RECIPE)]


def test_what_it_copies_is_in_the_checkout() -> None:
    words = [text.split() for step, text in steps() if step == "COPY"]
    names = [name for each in words for name in each[:-1] if not name.startswith(("--", "/"))]
    assert set(names) == {
        "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "node", "cli", "bootstrap",
    }  # fmt: skip
    assert all((CHECKOUT / name).exists() for name in names)
    assert {step for step, _ in steps()} <= {
        "FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL", "CMD",
    }  # fmt: skip


@dataclass(kw_only=True)
class Stage:
    """One image: a folder, and what was said about it."""

    root: Path
    name: str = ""
    cwd: str = "/"
    user: str = "root"
    env: dict[str, str] = field(default_factory=dict)

    def command(self, words: str) -> list[str]:
        env = [f"{key}={value}" for key, value in self.env.items()]
        path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        inner = f"cd {self.cwd} && {words}"
        user = f"--userspec={self.user}:{self.user}"
        return ["env", "-i", path, *env, "chroot", user, str(self.root), "/bin/sh", "-c", inner]


@pytest.fixture
def images(tmp_path: Path) -> Iterator[list[Stage]]:
    base, made = tmp_path / "base", list[Stage]()
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(base)], check=True)
    try:
        yield made
    finally:
        for stage in made:
            subprocess.run(["umount", str(stage.root / "proc")], check=False)


def built(stages: list[Stage], base: Path) -> str:
    """Takes every step; the command of the last image."""
    last = ""
    for step, text in steps():
        if step == "FROM":
            root = base.with_name(f"stage{len(stages)}")
            subprocess.run(["cp", "-a", str(base), str(root)], check=True)
            shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
            for name in ("pip.conf",):
                if Path("/etc", name).exists():
                    shutil.copy(Path("/etc", name), root / "etc" / name)
            subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
            stages.append(Stage(root=root, name=text.partition(" AS ")[2]))
        stage = stages[-1]
        if step == "RUN":
            _trusting(stage.root)
            subprocess.run(stage.command(text), check=True)
        elif step == "COPY":
            _copied(stages, text)
        elif step == "WORKDIR":
            stage.cwd = text
            (stage.root / text[1:]).mkdir(parents=True, exist_ok=True)
        elif step == "USER":
            stage.user = text
        elif step == "ENV":
            key, _, value = text.partition("=")
            stage.env[key] = value
        elif step == "CMD":
            last = text
    return last


def _trusting(root: Path) -> None:
    """Authorities that this machine trusts: there may be a proxy between it and the world."""
    bundle = Path("etc/ssl/certs/ca-certificates.crt")
    if (root / bundle).parent.is_dir() and ("/" / bundle).exists():
        shutil.copy("/" / bundle, root / bundle)


def _copied(stages: list[Stage], text: str) -> None:
    words, source = text.split(), CHECKOUT
    if words[0].startswith("--from="):
        name = words.pop(0).removeprefix("--from=")
        source = next(stage.root for stage in stages if stage.name == name)
    *names, target = words
    stage = stages[-1]
    place = stage.root / (target if target.startswith("/") else f"{stage.cwd}/{target}").lstrip("/")
    for name in names:
        path = source / name.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True)
        else:
            shutil.copy(path, place / path.name)


@ASKED
def test_it_builds_and_serves(images: list[Stage], tmp_path: Path) -> None:
    command = built(images, tmp_path / "base")
    image = images[-1]
    node = subprocess.Popen(image.command(command), stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        until, line = time.monotonic() + 60, ""
        while not line.startswith("ready ") and time.monotonic() < until:
            line = node.stdout.readline()
        assert "0.0.0.0:4625" in line
        done = subprocess.run(
            image.command("willcall whoami --json"), capture_output=True, text=True, check=True
        )
        assert '"origin": "127.0.0.1:4625"' in done.stdout
    finally:
        node.terminate()
        node.communicate(timeout=15)
    assert node.returncode == 0
