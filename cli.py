"""The ``anybind`` command: read the request, call the library, show the answer.

Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 1 the work failed, 2 wrong
usage. With ``--json`` stdout carries one JSON object and nothing else. The commands are in
:mod:`.commands`.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import NoReturn

from .commands import ask, embed, info, search, serve, train, weights, world
from .commands.build import add_build
from .errors import AnyBindError, UsageError

Command = Callable[[argparse.Namespace], None]
Add = Callable[[argparse.ArgumentParser], None]
COMMANDS: Mapping[str, tuple[Add, str, str]] = {  # what adds its options, what it does, an example
    "build": (
        add_build,
        "Embed a collection and build a searchable index from it.",
        "build-index --source folder --input photos/ --out indices/photos",
    ),
    "search": (
        search.add_search,
        "Find what is nearest to a query.",
        "anybind search DIR --image cat.jpg -k 3",
    ),
    "embed": (embed.add_embed, "Turn media into vectors.", 'anybind embed --text "a dog" --json'),
    "ask": (
        ask.add_ask,
        "Answer a question about media.",
        'anybind ask DIR "What makes this sound?" --audio dog.wav',
    ),
    "chat": (
        ask.add_chat,
        "Talk about media, shown as you go.",
        "anybind chat indices/demo --seed 1",
    ),
    "info": (info.add_info, "Say what an index folder holds.", "anybind info indices/demo"),
    "verify": (info.add_verify, "Check every file of an index.", "anybind verify indices/demo"),
    "weights": (
        weights.add_weights,
        "Fetch and convert weights.",
        "anybind weights fetch imagebind_huge",
    ),
    "serve": (
        serve.add_serve,
        "Answer over HTTP, with a page to try it.",
        "anybind serve indices/demo",
    ),
    "serve-key": (
        serve.add_serve_key,
        "Keys for a server.",
        "anybind serve-key new --file keys.txt",
    ),
    "train": (
        train.add_train,
        "Teach a language model to see, by an adapter around it.",
        "anybind train --phase pretrain --base llama/7B --data cc3m/ --out runs/stage1",
    ),
    "world": (
        world.add_world,
        "Scenes of the simulated world.",
        "anybind world render --ids 0:64 --out s.png",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``anybind``; returns the exit code."""
    return _run("anybind", argv)


def build(argv: Sequence[str] | None = None) -> int:
    """Run ``build-index``, which is ``anybind build``."""
    return _run("build-index", argv)


def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser of ``anybind``, with all its commands, or of ``build-index``."""
    if program == "build-index":
        add, text, example = COMMANDS["build"]
        parser = _Parser(prog=program, description=text, epilog=f"try: {example}")
        add(parser)
        return parser
    parser = _Parser(
        prog=program,
        description="Any media to one vector, and from there to neighbours.",
        epilog='try: anybind search indices/demo --text "a red train on snow"',
    )
    parser.add_argument("--version", action="version", version=f"anybind {version('anybind')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (add, text, example) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, epilog=f"try: {example}")
        command.late = add
    return parser


def _run(program: str, argv: Sequence[str] | None) -> int:
    """Parse, call the command, and turn what goes wrong into one line and an exit code."""
    try:
        args = parser_of(program).parse_args(argv)
    except SystemExit as stop:  # argparse has printed the help or the mistake
        return int(stop.code or 0)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    command: Command = args.command
    try:
        command(args)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, 2)
    except AnyBindError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # the reader of stdout left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return _complain(getattr(args, "interrupted", "interrupted"), 1)
    return 0


def _complain(reason: object, code: int) -> int:
    print(f"anybind: {reason}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """argparse with its mistake on one line, after the command's name.

    What ``late`` adds, it adds before the first use, since it may take long to import.
    """

    late: Add | None = None

    def parse_known_args(  # type: ignore[override]  # of the many overloads, what is called
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self.late is not None:
            late, self.late = self.late, None
            late(self)
        found, rest = super().parse_known_args(args, namespace)
        assert found is not None  # so its type says
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


if __name__ == "__main__":
    sys.exit(main())
