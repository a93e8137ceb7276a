"""``anybind serve`` and ``anybind serve-key``."""

import argparse
from pathlib import Path

from .options import LANGUAGE_MODEL_OPTIONS, add_encoder, add_language_model, options_of


def add_serve(parser: argparse.ArgumentParser) -> None:
    """The options of ``anybind serve``, among them every setting of the server."""
    from ..server.flags import add_flags

    parser.add_argument(
        "folders",
        nargs="+",
        metavar="DIR|NAME=DIR",
        help="index folders; the first one answers where a request names none",
    )
    add_language_model(parser)
    add_encoder(parser, default=None)
    add_flags(parser)
    parser.set_defaults(command=_serve, json=False, verbose=False)


def _serve(args: argparse.Namespace) -> None:
    from ..server.flags import settings_of
    from ..server.serve import folders_of, run

    run(folders_of(args.folders), options_of(args, *LANGUAGE_MODEL_OPTIONS), settings_of(args))


def add_serve_key(parser: argparse.ArgumentParser) -> None:
    """``anybind serve-key``, with its actions."""
    sub = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "Make a key, print it once, and keep its hash in a file."
    new = sub.add_parser(
        "new", help=text, description=text, epilog="try: anybind serve-key new --file keys.txt"
    )
    add = new.add_argument
    add("--file", type=Path, required=True, help="of keys; made if it is not there")
    add("--name", default="me", help="whose key it is (default me)")
    add("--admin", action="store_true", help="it may also reload the server's indices")
    new.set_defaults(command=_serve_key_new, json=False, verbose=False)


def _serve_key_new(args: argparse.Namespace) -> None:
    from ..server.keys import Role, new_key

    print(new_key(args.file, args.name, Role.ADMIN if args.admin else Role.USER))
