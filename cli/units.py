"""What systemd reads: the text of the units that `service install` writes. systemd.service(5).

The first lines say who made a file, and the SHA-256 of the rest: so a file that somebody has
changed since is told from one that may be replaced, without a record elsewhere.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

MADE = "# Made by `willcall service install`; `willcall service remove` takes it away."
_SUM = "# sha256 of what follows: "
_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides."""

ANYBODY = """\
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
"""What needs no privilege: it holds for a user's unit too."""
HARDENED = """\
CapabilityBoundingSet=
DevicePolicy=closed
KeyringMode=private
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
SystemCallFilter=~@privileged @resources
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be run, and how.

    Attributes:
        name: of the units, without `.service`.
        program: the words that start willcall.
        home: its folder.
        reads: what else has to be seen from within: the interpreter, where it really lies.
        run_as: user and group of a system unit; None: a unit of the user who installs it.
        listen: where systemd listens on the node's behalf; None: the node does itself.
    """

    name: str
    program: Sequence[str]
    home: PurePath
    reads: Sequence[str] = ()
    run_as: tuple[str, str] | None = None
    listen: str | None = None


def files(chosen: Chosen) -> dict[str, str]:
    """The units: names of files, and what stands in them."""
    made = {f"{chosen.name}.service": _service(chosen)}
    if chosen.listen is not None:
        made[f"{chosen.name}.socket"] = _socket(chosen.name, chosen.listen)
    return {name: sealed(text) for name, text in made.items()}


def sealed(text: str) -> str:
    """A file that can tell whether it was changed."""
    return f"{MADE}\n{_SUM}{_digest(text)}\n{text}"


def is_ours(text: str) -> bool:
    """Whether it stands there as it was written."""
    made, _, rest = text.partition("\n")
    line, _, body = rest.partition("\n")
    return made == MADE and line == _SUM + _digest(body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _service(chosen: Chosen) -> str:
    start = " ".join(quoted(word) for word in (*chosen.program, "--home", str(chosen.home), "run"))
    socket = f"{chosen.name}.socket"
    lines = ["[Unit]", f"Description=willcall node in {_plain(str(chosen.home))}"]
    lines += ["Wants=network-online.target", "After=network-online.target"] * bool(chosen.run_as)
    lines += [f"Requires={socket}", f"After={socket}"] * (chosen.listen is not None)
    lines += [
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={start}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartSec=5",
        # Taken port, running already, settings that can't be used: again would be the same.
        "RestartPreventExitStatus=69 75 78",
        # A home of an older version is brought up first; a node ends within ten seconds.
        "TimeoutStartSec=600",
        "TimeoutStopSec=20",
        "WatchdogSec=120",
        # 1,024 connections, the files of the store, and as much again.
        "LimitNOFILE=8192",
    ]
    wanted = "default.target" if chosen.run_as is None else "multi-user.target"
    # In this order: the first SystemCallFilter allows, the second takes away from it.
    text = "\n".join([*lines, ANYBODY.rstrip("\n"), *_as_whom(chosen)])
    also = f"Also={socket}\n" if chosen.listen is not None else ""
    return f"{text}\n\n[Install]\nWantedBy={wanted}\n{also}"


def _as_whom(chosen: Chosen) -> list[str]:
    if chosen.run_as is None:
        return []
    user, group = chosen.run_as
    paths = (str(chosen.home), *chosen.program, *chosen.reads)
    hides = not any(path.startswith(f"{top}/") for path in paths for top in _HOMES)
    return [
        f"User={_plain(user)}",
        f"Group={_plain(group)}",
        f"ReadWritePaths={quoted(str(chosen.home))}",
        f"ProtectHome={'yes' if hides else 'read-only'}",
        HARDENED.rstrip("\n"),
    ]


def _socket(name: str, listen: str) -> str:
    return (
        f"[Unit]\nDescription=the port of {name}.service\n\n"
        f"[Socket]\nListenStream={_plain(listen)}\nBacklog=1024\n\n"
        "[Install]\nWantedBy=sockets.target\n"
    )


def quoted(word: str) -> str:
    """A word of a command line, as systemd.syntax(7) reads it back."""
    inner = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_plain(inner)}"'


def _plain(text: str) -> str:
    return text.replace("%", "%%")
