"""Sockets to listen on."""

import stat
from pathlib import Path

import pytest
import trio

from node.errors import ConfigBroken, PortInUse, Refused
from node.server import listen
from node.server.http1 import ServerLimits, open_tcp, open_unix, serve
from tests.server.web import Client, Echo


async def test_a_taken_port_is_named() -> None:
    (first,) = await open_tcp("127.0.0.1", 0)
    async with first:
        port = first.socket.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            await open_tcp("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_of_another_machine_is_a_matter_of_configuration(host: str) -> None:
    with pytest.raises(ConfigBroken, match=host):
        await open_tcp(host, 4625)


def test_what_the_system_forbids_is_said_clearly() -> None:
    error = listen._listen_error("127.0.0.1:25", PermissionError(13, "Permission denied"))
    assert isinstance(error, Refused)
    assert error.exit_code == 77


async def test_a_unix_socket_is_the_owner_s_alone_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    stale = open_unix(path)
    await stale.aclose()
    assert path.exists()
    listener, echo = open_unix(path), Echo()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, echo, [listener], ServerLimits(per_network=1))
            streams = [await trio.open_unix_socket(path) for _ in range(3)]
            for stream in streams:
                assert (await Client(stream).ask())[1] == b"hello"
                await stream.aclose()
            nursery.cancel_scope.cancel()
    assert echo.scopes[0]["client"] is None


@pytest.mark.parametrize("name", ["no-such-folder/socket", "x" * 200])
async def test_a_socket_that_can_t_be_made_is_a_matter_of_configuration(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigBroken):
        open_unix(tmp_path / name)


async def test_a_file_is_not_taken_for_a_stale_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_bytes(b"mine")
    with pytest.raises(PortInUse):
        open_unix(path)
    assert path.read_bytes() == b"mine"
