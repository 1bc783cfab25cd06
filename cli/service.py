"""`service install | remove`: a node that starts by itself, under systemd.

A user's unit by default, which needs no root; with --system a hardened one for the whole machine.
What was changed by hand since is never overwritten nor removed unasked: a file knows what it was
(`cli.units`). Under another supervisor the line to run is said instead.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from cli import render, units
from cli.local import default_home, home_of
from cli.settings import text_of
from cli.state import STATE
from cli.units import Chosen
from node.errors import AlreadyRunning, ConfigBroken, Conflict, NotRunning, Refused

PRIVILEGED = 1024
"""Ports below it are root's, or systemd's, to open."""
SECONDS = 660
"""The longest `systemctl` takes: as long as a start may."""
BOOTED = Path("/run/systemd/system")
"""There while systemd runs the machine, sd_booted(3)."""

service = typer.Typer(
    name="service",
    help="A node that starts by itself, under systemd.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(service)


SYSTEM = typer.Option(False, "--system", help="A unit of the machine, hardened; needs root.")
FORCE = typer.Option(False, "--force", help="Even if the unit was changed by hand.")


@service.command()
def install(
    system: bool = SYSTEM,
    socket: bool = typer.Option(
        False, "--socket", help="Let systemd hold the port: no call is refused at a restart."
    ),
    start: bool = typer.Option(True, help="Start it now, or only with the machine or login."),
    force: bool = FORCE,
) -> None:
    """Makes the node start by itself, and starts it. Again: brings the unit up to date.

    The unit is the user's own, unless --system: then it runs as whoever the home belongs to. A
    changed unit is kept as .old with --force.
    Examples: willcall service install
    willcall --home /srv/willcall service install --system
    """
    home = home_of(STATE.home)
    listen, origin = _listen(home)
    if start:
        _need_systemd(home)
    port = int(listen.rpartition(":")[2])
    chosen = Chosen(
        name=_name(home),
        program=_program(),
        home=home,
        reads=(os.path.realpath(sys.executable), sys.base_prefix),
        run_as=_owner_of(home) if system else None,
        listen=_socket_of(listen) if socket or (system and port < PRIVILEGED) else None,
    )
    made = units.files(chosen)
    folder = _folder(system)
    _check_ours(folder, made, force=force)
    if start:
        _check_not_by_hand(chosen.name, home, system=system)
    changed = _write(folder, made)
    _enable(chosen.name, made, system=system, start=start, changed=changed)
    document = {
        "unit": f"{chosen.name}.service",
        "files": [str(folder / name) for name in made],
        "changed": changed,
        "started": start,
        "origin": origin,
    }
    _say(document, system=system) if not STATE.json else render.document(document)


@service.command()
def remove(system: bool = SYSTEM, force: bool = FORCE) -> None:
    """Stops the node and takes away what install made, and nothing else. The home stays.

    Example: willcall service remove
    """
    name, folder = _name(home_of(STATE.home)), _folder(system)
    there = [f"{name}{kind}" for kind in (".service", ".socket")]
    there = [each for each in there if (folder / each).exists()]
    _check_ours(folder, there, force=force)
    if there:
        _systemctl("disable", *(["--now"] * _booted()), *there, system=system)
        for each in there:
            _unlink(folder / each)
        if _booted():
            _systemctl("daemon-reload", system=system)
    if STATE.json:
        render.document({"unit": f"{name}.service", "removed": [str(folder / x) for x in there]})
        return
    for each in there:
        render.line(f"removed {folder / each}")
    if not there:
        render.note(f"there is no {folder / name}.service")
    dropins = folder / f"{name}.service.d"
    if there and dropins.is_dir():
        render.note(f"your own drop-ins stay: {dropins}")


# --- what is asked for --------------------------------------------------------------------


def _listen(home: Path) -> tuple[str, str]:
    """Where the node of this home listens, and is reached."""
    from node import config as configs

    config = configs.parse(text_of(home / "config.toml"))
    if any(char in str(home) for char in "\n\r\0"):
        raise ConfigBroken("a unit can't name this home: a line break is in its path")
    return config.network.listen, config.origin


def _name(home: Path) -> str:
    """Of the unit: the usual home's, or one of its own for each other home."""
    if home == default_home():
        return "willcall"
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in home.name)
    return f"willcall-{kept[:40]}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:6]}"


def _program() -> tuple[str, ...]:
    """The words that start this very program."""
    script = Path(sys.executable).parent / "willcall"
    return (str(script),) if script.is_file() else (sys.executable, "-m", "cli")


def _owner_of(home: Path) -> tuple[str, str]:
    import grp
    import pwd

    found = home.stat()
    if found.st_uid == 0:
        raise Refused(
            f"{home} belongs to root, and a node needs no root",
            next=f"chown -R USER: {shlex.quote(str(home))}, to whom it should run as; then again",
        )
    try:
        return pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    except KeyError as error:
        raise Refused(f"nobody on this machine owns {home}: {error}") from error


def _socket_of(listen: str) -> str:
    from ipaddress import ip_address

    try:
        ip_address(listen.rpartition(":")[0].strip("[]"))
    except ValueError as error:
        raise ConfigBroken(
            f"systemd listens at addresses, and network.listen names a host: {listen}",
            next='write an address, such as network.listen = "0.0.0.0:443"',
        ) from error
    return listen


def _folder(system: bool) -> Path:
    if system:
        return Path("/etc/systemd/system")
    configured = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configured) / "systemd" / "user"


# --- what is there ------------------------------------------------------------------------


def _booted() -> bool:
    return BOOTED.is_dir() and shutil.which("systemctl") is not None


def _need_systemd(home: Path) -> None:
    if not _booted():
        line = shlex.join([*_program(), "--home", str(home), "run"])
        raise NotRunning(
            "systemd does not run this machine",
            reason="no-systemd",
            next=f"let whatever starts programs here run, and restart when it fails: {line}",
        )


def _check_ours(folder: Path, names: Iterable[str], *, force: bool) -> None:
    """Raises Conflict for a file that is not as it was written, unless that is known."""
    for file in (folder / name for name in names):
        if not force and _is_foreign(file):
            raise Conflict(
                f"{file} was changed, or is not of willcall; nothing was done",
                reason="unit-changed",
                next="keep changes in a drop-in (systemctl edit); --force keeps the file as .old",
            )


def _is_foreign(file: Path) -> bool:
    """Whether something stands there that `install` did not write."""
    try:
        return not units.is_ours(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True


def _check_not_by_hand(name: str, home: Path, *, system: bool) -> None:
    """Raises AlreadyRunning when a node runs here that is not this unit's."""
    if _is_held(home / "lock") and not _is_active(name, system=system):
        raise AlreadyRunning(
            f"a node runs already for {home}, and not as this service; nothing was done",
            next=f"stop it: kill $(cat {shlex.quote(str(home / 'lock'))}), then again",
        )


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no node has run here yet, or the home is somebody else's
        return False
    return False


def _is_active(name: str, *, system: bool) -> bool:
    done = _ran("is-active", "--quiet", f"{name}.service", system=system)
    return done.returncode == 0


# --- doing it -----------------------------------------------------------------------------


def _write(folder: Path, made: Mapping[str, str]) -> bool:
    """Writes what differs; whether something did."""
    changed = False
    for name, text in made.items():
        file, temporary = folder / name, folder / f".{name}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if file.is_file() and file.read_text(encoding="utf-8") == text:
                continue
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(0o644)
            _set_aside(file)
            temporary.replace(file)
        except OSError as error:
            raise _denied(file, error) from error
        changed = True
    return changed


def _unlink(file: Path) -> None:
    try:
        _set_aside(file)
        file.unlink(missing_ok=True)
    except OSError as error:
        raise _denied(file, error) from error


def _set_aside(file: Path) -> None:
    """Keeps what somebody has changed."""
    if _is_foreign(file):
        file.replace(file.with_name(f"{file.name}.old"))


def _denied(file: Path, error: OSError) -> Refused:
    as_root = "run it as root: sudo willcall --home HOME service … --system"
    hint = as_root if str(file).startswith("/etc/") else f"look at {file.parent}"
    return Refused(f"{file}: {error.strerror}", reason="not-permitted", next=hint)


def _enable(
    name: str, made: Mapping[str, str], *, system: bool, start: bool, changed: bool
) -> None:
    if start:
        _systemctl("daemon-reload", system=system)
    _systemctl("enable", *made, system=system, offline=not start)
    if not start:
        return
    sockets = [each for each in made if each.endswith(".socket")]
    if changed and sockets:  # the node may hold the port that systemd is to hold
        _systemctl("stop", f"{name}.service", system=system)
    for each in sockets:
        _systemctl("start", each, system=system)
    _systemctl("restart" if changed else "start", f"{name}.service", system=system)


def _systemctl(*words: str, system: bool, offline: bool = False) -> None:
    """One call of systemctl that has to work."""
    done = _ran(*words, system=system, offline=offline or not _booted())
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"systemctl ends with {done.returncode}"
        raise NotRunning(f"systemctl {words[0]}: {said}", reason="systemd", next=_help(system))


def _help(system: bool) -> str:
    whose = "" if system else " --user"
    hint = f"journalctl{whose} -e"
    if not system and not os.environ.get("XDG_RUNTIME_DIR"):
        hint = (
            "this login has no systemd of its own (XDG_RUNTIME_DIR): log in directly, or --system"
        )
    return hint


def _ran(*words: str, system: bool, offline: bool = False) -> "subprocess.CompletedProcess[str]":
    whose = () if system else ("--user",)
    env = os.environ | ({"SYSTEMD_OFFLINE": "1"} if offline else {})
    try:
        return subprocess.run(
            ["systemctl", *whose, "--no-ask-password", *words],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=env,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRunning(f"systemctl can't be run: {error}", reason="systemd") from error


def _say(document: Mapping[str, Any], *, system: bool) -> None:
    for file in document["files"]:
        render.line(f"{'wrote' if document['changed'] else 'unchanged:'} {file}")
    whose = "" if system else " --user"
    if document["started"]:
        render.line(
            f"the node runs, reached at {document['origin']}, and starts by itself from now on"
        )
    else:
        render.line("the node starts by itself from the next time on")
    unit = document["unit"]
    render.line(f"see it: systemctl{whose} status {unit}; journalctl{whose} -u {unit}")
    if not system:
        render.line("so that it runs while you are not logged in: loginctl enable-linger")
