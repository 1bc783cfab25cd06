"""What a running node is told from outside: end, or read the configuration again.

SIGTERM and SIGINT end it in good order. SIGHUP reads `config.toml` again: what can change in a
running node does, what needs a restart is said in the log, a file with errors changes nothing.
A terminal that is closed sends SIGHUP too, and ends the node.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from node import config as configs
from node import journal
from node.client.guard import PORTS, Allowed
from node.client.http import HttpExchange
from node.config import Config
from node.encoding import origin
from node.errors import ConfigBroken
from node.ports import Clock
from node.server.admission import Proxies
from node.server.tls import Tls
from node.services.core import Core
from node.supervisor import Supervisor


def allowed(config: Config) -> Allowed:
    """Where a node may connect to."""
    return Allowed(
        loopback=origin.is_loopback(config.origin),
        private=config.network.private,
        ports=PORTS | frozenset(config.network.ports),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running node, as far as a changed `config.toml` reaches into it.

    Attributes:
        load: reads the file; raises ConfigBroken.
        core: whose `config` everybody reads, each time: one assignment changes it for all.
        proxies: the same for the public listener.
        tls: whose files are looked at again; None: callers speak plain HTTP.
        verbose: the log says what is worth knowing, whatever the file says.
        supervisor: whoever wants to know that it reloads, and ends.
        monotonic: the clock by which it is told, in microseconds.
    """

    load: Callable[[], Config]
    core: Core
    clock: Clock
    exchange: HttpExchange
    proxies: Proxies
    tls: Tls | None
    verbose: bool
    supervisor: Supervisor
    monotonic: Callable[[], int]

    async def reload(self) -> None:
        """Reads the file again; what is wrong with it is logged."""
        self.supervisor.reloading(self.monotonic())
        await self._reload()
        self.supervisor.ready(self.status)

    @property
    def status(self) -> str:
        """One line on the node, for `systemctl status`."""
        return f"serves {self.core.config.origin}"

    async def _reload(self) -> None:
        try:
            found = self.load()
        except ConfigBroken as error:
            journal.warn("reload-refused", why=error.text, next=error.next)
            return
        made = configs.reloaded(self.core.config, found)
        self.core.config = made.config
        self.proxies.networks = made.config.proxies
        await self.exchange.allow(allowed(made.config))
        if self.tls is not None:
            self.tls.refresh(self.clock.now())
        journal.open_log(made.config.log, verbose=self.verbose)
        journal.note("reloaded", changed=", ".join(made.changed) or "nothing")
        if made.waiting:
            journal.warn("restart-needed", keys=", ".join(made.waiting))


async def obey_signals(
    stop: trio.Event, reload: Callable[[], Awaitable[None]], stopping: Callable[[], None]
) -> None:
    """Calls `stopping` and sets `stop` when the node is to end; reloads when it is told to."""
    ends_with_terminal = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for each in signals:
            if each == signal.SIGHUP and (not ends_with_terminal or _has_terminal()):
                await reload()
            else:
                journal.note("stopping", signal=signal.Signals(each).name)
                stopping()
                stop.set()


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
