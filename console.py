"""The interactive chat: lines in, answers out.

A line is a question, or a command that begins with a slash. Answers go to stdout as they are drawn,
everything else to stderr, so that a chat may be piped.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .encoders.modality import Modality
from .errors import AnyBindError, MediaError, UsageError
from .parts import ID
from .pipeline import Input

if TYPE_CHECKING:
    from .answers import AnswerStream, CacheChoice, Chat
    from .llm.config import Generation
    from .pipeline import Citation

PROMPT = "> "
HELP = """\
a line is a question about what was shown last; lines that begin with a slash:
  /image FILE      show a picture with the next question; so too /audio, /video, /points, /depth,
                   /thermal and /imu, and /text with words. Several are mixed.
  /id N            show an item of the index
  /show-cache      the images that the last answer drew on; with a FILE, draw them
  /save FILE       write the conversation as JSON
  /reset           forget the conversation, and what was shown
  /help            this text
  /quit            leave, as the end of the input does\
"""

SaveSheet = Callable[[Sequence[Input], Sequence["Citation"], Path], None]


class Console:
    """A conversation, line by line.

    Args:
        chat: What answers.
        cache: As :meth:`.AnyBind.ask` has it.
        settings: How answers are drawn.
        save_sheet: Draws what was asked and the images drawn on into a file.
    """

    def __init__(
        self,
        chat: "Chat",
        *,
        cache: "CacheChoice",
        settings: "Generation",
        save_sheet: SaveSheet,
    ) -> None:
        self._chat = chat
        self._cache: CacheChoice = cache
        self._settings = settings
        self._save_sheet = save_sheet
        self._shown: list[Input] = []  # with the next question
        self._forgotten = 0  # turns that were said to be left out

    def run(self) -> None:
        """Take lines from stdin until they end or ask to."""
        for line in _lines():
            try:
                if not self.take(line):
                    return
            except AnyBindError as error:
                _note(f"anybind: {error}")

    def take(self, line: str) -> bool:
        """Obey or answer one line; returns whether to go on.

        Raises:
            AnyBindError: It cannot be done. The conversation is as it was.
        """
        line = line.strip()
        if not line.startswith("/"):
            if line:
                self._answer(line)
            return True
        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        if name == "quit":
            return False
        if name in (*Modality, ID):
            self._show(name, rest)
        elif name == "reset":
            self._chat.reset()
            self._shown.clear()
            self._forgotten = 0
            _note("the conversation begins anew")
        elif name == "save":
            self._chat.save(_path(name, rest))
            _note(f"saved: {rest}")
        elif name == "show-cache":
            self._show_cache(rest)
        elif name == "help":
            _note(HELP)
        else:
            raise UsageError(f"there is no command /{name}; /help lists them")
        return True

    def _show(self, kind: str, value: str) -> None:
        """Keep a medium for the next question."""
        if kind == Modality.TEXT:
            if not value:
                raise UsageError("/text needs words, as in /text a red train")
            self._shown.append(Input(kind, value))
        elif kind == ID:
            if not value.isdecimal():
                raise UsageError("/id needs the number of an item, as in /id 7")
            self._shown.append(Input(kind, int(value)))
        else:
            path = _path(kind, value)
            if not path.is_file():
                raise MediaError(f"there is no file {path}")
            self._shown.append(Input(kind, path))
        _note(f"shown with the next question: {', '.join(part.modality for part in self._shown)}")

    def _answer(self, question: str) -> None:
        """Answer on stdout, piece by piece. What was shown is kept for a question that failed."""
        stream: AnswerStream | None = None
        try:
            stream = self._chat.ask(
                question, *self._shown, cache=self._cache, settings=self._settings, stream=True
            )
            for piece in stream:
                print(piece, end="", flush=True)
        except MediaError as error:
            self._shown.clear()
            raise MediaError(f"{error}; nothing is shown now, so show the others again") from None
        except KeyboardInterrupt:  # also while media are read and encoded
            if stream is not None:
                stream.close()
            print(flush=True)
            _note("stopped; this question is no part of the conversation")
            return
        print(flush=True)
        self._shown.clear()
        if stream.answer.forgotten > self._forgotten:
            self._forgotten = stream.answer.forgotten
            _note(
                f"the context of {self._chat.model.context} tokens is full: the first "
                f"{self._forgotten} of {len(self._chat.turns)} turns were left out, and what they "
                "said is forgotten; /reset begins anew"
            )

    def _show_cache(self, file: str) -> None:
        """The images behind what is in view, which the last turn with media showed."""
        turn = next((turn for turn in reversed(self._chat.turns) if turn.inputs), None)
        if turn is None:
            raise UsageError("nothing was shown yet; /audio FILE shows a sound, /help lists more")
        citations = turn.answer.citations
        if not citations:
            raise UsageError("the cache was not used for what was shown, so it drew on no image")
        if file:
            path = _path("show-cache", file)
            self._save_sheet(turn.inputs, citations, path)
            _note(f"contact sheet: {path}")
            return
        for citation in citations:
            _note(f"{citation.weight:.3f}  {citation.id}  {citation.caption or citation.key}")


def _lines() -> Iterator[str]:
    """Lines of stdin; on a terminal with a prompt, editing and history."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (input() uses it once it is imported)
    while True:
        try:
            yield input(PROMPT)
        except (EOFError, KeyboardInterrupt):
            print()
            return


def _path(command: str, text: str) -> Path:
    """A file's name, which may be in quotes or begin with ``~``."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    if not text:
        raise UsageError(f"/{command} needs the name of a file")
    return Path(text).expanduser()


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
