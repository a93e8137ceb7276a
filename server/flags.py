"""The server's settings as flags of ``anybind serve``: one each, named and described as there."""

import argparse
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from ..errors import UsageError
from .problems import in_a_line
from .settings import Settings

TYPES = {int: "N", float: "X", str: "TEXT", Path: "FILE"}  # and what stands for their values


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field; one that is not given leaves the environment or the default."""
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        common: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        text = f"{field.description} (default {_shown(field.default)})"
        if field.annotation is bool:
            parser.add_argument(flag, action="store_true", help=field.description, **common)
        elif field.annotation == tuple[str, ...]:
            parser.add_argument(flag, nargs="+", metavar="TEXT", help=field.description, **common)
        else:
            kind: Any = Path if field.annotation == Path | None else field.annotation
            assert kind in TYPES, f"no flag for {name}: {kind}"
            parser.add_argument(flag, type=kind, metavar=TYPES[kind], help=text, **common)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that flags, environment and defaults make.

    Raises:
        UsageError: A value is wrong, with the name of its field.
    """
    given = {name: getattr(args, name) for name in Settings.model_fields if hasattr(args, name)}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise UsageError(f"the settings are wrong: {in_a_line(error)}") from None
    except SettingsError as error:
        raise UsageError(f"the settings are wrong: {error}") from None


def _shown(value: object) -> str:
    return "none" if value in (None, "") else str(value)
