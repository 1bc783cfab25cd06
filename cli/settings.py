"""`config show | check`: the settings of a home. Neither needs a running node."""

import os
from pathlib import Path
from typing import Any

import typer

from cli import render
from cli.local import default_home, home_of
from cli.state import STATE
from node.errors import ConfigBroken

config = typer.Typer(
    name="config",
    help="What can be set, and what is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(config)


def text_of(file: Path) -> str:
    """What stands in `config.toml`.

    Raises:
        ConfigBroken: there is no home, or the file is no text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigBroken(f"there is no home in {file.parent}", next="willcall init") from None
    except (OSError, UnicodeDecodeError) as error:
        from node import config as configs

        raise configs.unreadable(str(file), error) from error


@config.command()
def show() -> None:
    """Every key: its value, where that came from, its default and its meaning.

    Example: willcall config show
    """
    from node import config as configs

    home = home_of(STATE.home)
    text = text_of(home / "config.toml")
    rows = [_home(home), *_rows(text)]
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("key", "value", "from", "default", "meaning"),
        [
            (
                row["key"],
                configs.show(row["value"]),
                row["source"],
                configs.show(row["default"]),
                row["meaning"],
            )
            for row in rows
        ],
    )
    render.hint(f"edit {home / 'config.toml'}, then: willcall config check")


def _home(home: Path) -> dict[str, Any]:
    source = "default"
    if os.environ.get("WILLCALL_HOME"):
        source = "WILLCALL_HOME"
    if STATE.home:
        source = "option --home"
    return {
        "key": "home",
        "value": str(home),
        "default": str(default_home()),
        "meaning": "the folder of all that this node keeps",
        "source": source,
        "restart": True,
    }


def _rows(text: str) -> list[dict[str, Any]]:
    from node import config as configs

    config, lines = configs.parse(text), configs.lines(text)
    return [
        {
            "key": key.path,
            "value": key.value(config),
            "default": key.default,
            "meaning": key.meaning,
            "source": f"config.toml line {lines[key.path]}" if key.path in lines else "default",
            "restart": key.restart,
        }
        for key in configs.settings()
    ]


@config.command()
def check() -> None:
    """Looks for all errors in config.toml at once; says what a change needs to take effect.

    Example: willcall config check && systemctl --user reload willcall
    """
    from node import config as configs

    file = home_of(STATE.home) / "config.toml"
    found = configs.problems(text_of(file))
    if found:
        raise ConfigBroken(
            "\n  ".join([_counted(file, len(found)), *map(str, found)]),
            next="correct them and check again; a running node goes on as it is",
        )
    restart = [key.path for key in configs.settings() if key.restart]
    if STATE.json:
        render.document({"file": str(file), "restart": restart})
        return
    render.line(f"{file}: nothing wrong")
    render.line(f"a change of these needs a restart: {', '.join(restart)}")
    render.line("of all others, a reload: kill -HUP, or systemctl reload")


def _counted(file: Path, count: int) -> str:
    return f"{file} can't be used: {count} problem{'s' if count > 1 else ''}"
