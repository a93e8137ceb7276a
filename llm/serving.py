"""Answers for many at once: a thread that draws them together, a token of each at every step.

Requests join between steps in the order they came, and each leaves with its own last token, so a
short answer never waits for a long one, and a long prompt is read in parts between the steps of
those that run. What is said does not depend on who else is there: with its seed, an answer is that
of :meth:`.model.LanguageModel.generate`.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from ..encoders.modality import Vectors
from ..errors import AnyBindError, Overloaded
from .config import Generation
from .decoding import Finish, Row
from .generation import Pieces
from .model import LanguageModel, Prompt

logger = logging.getLogger(__name__)

MAX_BATCH = 16  # answers drawn at once, where the caller names no number
MAX_WAITING = 64  # answers that wait for a place, where the caller names no number
READ_TOKENS = 256  # of prompts, between two steps of the answers that run

Said = str | Exception | None  # a piece of text; what ended the answer early; None: its end


class Closed(AnyBindError):
    """The language model takes no more questions, or was closed before this one was answered."""


class Ticket:
    """A place in a :class:`ContinuousBatch`."""

    def __init__(self, row: Row, pieces: Pieces, on_piece: Callable[[Said], object]) -> None:
        """See :meth:`ContinuousBatch.submit`."""
        self._row = row
        self._pieces = pieces
        self._on_piece = on_piece
        self._n_said = 0  # tokens that went into pieces
        self._cancelled = False

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self._row.asked.ids)

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer so far."""
        return len(self._row.answer)

    @property
    def finish(self) -> Finish | None:
        """Why the answer ended; ``None`` while it goes on."""
        return self._row.finish

    def cancel(self) -> None:
        """Nobody wants the answer any more: it ends before the next step, if it has not ended."""
        self._cancelled = True

    def _end(self, finish: Finish, error: Exception | None = None) -> None:
        """End an answer that goes on; called by the thread that draws, as is all that follows."""
        self._row.finish = finish
        self._say(error)

    def _deliver(self) -> int:
        """Pass on what was drawn since the last time; how many tokens?"""
        new = self._row.answer[self._n_said :]
        self._n_said += len(new)
        try:
            text = "".join(self._pieces.add(id) for id in new)
            if self._row.finish is not None:
                text += self._pieces.end()
        except Exception as error:  # of the tokenizer
            logger.exception("an answer cannot be put into words")
            self._end(Finish.FAILED, _failure(error))
            return len(new)
        if text:
            self._say(text)
        if self._row.finish is not None:
            self._say(None)
        return len(new)

    def _say(self, said: Said) -> None:
        try:
            self._on_piece(said)
        except Exception:  # of the listener; nobody else shall suffer from it
            logger.exception("a piece of an answer cannot be delivered")
            self._cancelled = True


class ContinuousBatch:
    """Answers of one language model to whoever asks, from a thread of its own.

    Safe to use from many threads; the language model may be used beside it.

    Args:
        model: Answers.
        max_batch: Answers drawn at once. Each takes memory for its whole length, which the
            context bounds.
        max_waiting: Answers that may wait for a place; more are refused.
        read_tokens: Of prompts, between two steps of the answers that run: more make new answers
            begin sooner and running ones stutter.
        observe: Told after each step how many answers got a token.

    Attributes:
        n_tokens: Drawn so far, all answers together.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        read_tokens: int = READ_TOKENS,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        for name, value in (("max_batch", max_batch), ("read_tokens", read_tokens)):
            if value < 1:
                raise ValueError(f"{name} is {value}; give at least 1")
        self.model = model
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._read_tokens = read_tokens
        self._observe = observe
        self._decoder = model.decoder()
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[Ticket] = deque()
        self._active: dict[Row, Ticket] = {}  # prompts being read, and answers that run
        self._open = True
        self._drain = False
        self.n_tokens = 0
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Answers that wait for a place."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """Answers being drawn, those whose prompts are being read among them."""
        return len(self._active)

    def submit(
        self,
        prompt: Prompt,
        vector: Vectors | Tensor | None = None,
        settings: Generation | None = None,
        *,
        on_piece: Callable[[Said], object],
    ) -> Ticket:
        """Ask for an answer, and have it piece by piece.

        Args:
            prompt: As one of :meth:`.model.LanguageModel.generate`.
            vector: ``(dim,)``; for a prompt in pieces ``(pieces, dim)``.
            settings: How to draw.
            on_piece: Called in the thread that draws, so it must be quick: with each piece of
                text as :meth:`.model.LanguageModel.stream` gives them, then once with ``None``,
                or with the error that ended the answer. An asyncio program passes
                ``lambda said: loop.call_soon_threadsafe(queue.put_nowait, said)``.

        Raises:
            UsageError: As :meth:`.model.LanguageModel.generate`.
            Overloaded: ``max_waiting`` answers wait.
            Closed: After :meth:`close`.
        """
        row = self.model.row(prompt, vector, settings)
        ticket = Ticket(row, Pieces(self.model.base.tokenizer.decode), on_piece)
        with self._changed:
            if not self._open:
                raise Closed("the language model is being shut down; ask again when it is back")
            free = self._max_batch - len(self._active)
            if len(self._waiting) >= self._max_waiting + free:
                raise Overloaded(
                    f"{len(self._waiting)} questions wait for the language model and "
                    f"{self._max_waiting} may; ask again soon"
                )
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def stream(
        self,
        prompt: Prompt,
        vector: Vectors | Tensor | None = None,
        settings: Generation | None = None,
    ) -> Generator[str, None, None]:
        """As :meth:`.model.LanguageModel.stream`, drawn together with the others.

        Closing the iterator cancels the answer.

        Raises:
            AnyBindError: As :meth:`submit`, before the first piece; later, what went wrong.
        """
        said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        ticket = self.submit(prompt, vector, settings, on_piece=said.put)

        def pieces() -> Generator[str, None, None]:
            try:
                while (piece := said.get()) is not None:
                    if isinstance(piece, Exception):
                        raise piece
                    yield piece
            finally:
                ticket.cancel()

        return pieces()

    def close(self, *, drain: bool = False) -> None:
        """Take no more questions; those that wait fail with :class:`Closed`.

        Args:
            drain: Finish the answers that have begun, and only then return; otherwise they fail
                too, at the next step.
        """
        with self._changed:
            self._open = False
            self._drain = drain
            self._changed.notify()
        self._thread.join()

    # -------------------------------------------------------------------------- in the thread

    def _work(self) -> None:
        while self._admit():
            self._attempt(self._decoder.reading, lambda: self._decoder.read(self._read_tokens))
            self._attempt(self._decoder.running, self._step)

    def _step(self) -> None:
        if rows := self._decoder.step():
            self._observe(len(rows))

    def _admit(self) -> bool:
        """Wait for something to do, and let answers go and come; is there anything to do?"""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._active or not self._open)
            is_open, is_over = self._open, not self._open and not self._drain
            cancelled = [ticket for ticket in self._active.values() if ticket._cancelled]
            cancelled += [ticket for ticket in self._waiting if ticket._cancelled]
            self._waiting = deque(ticket for ticket in self._waiting if not ticket._cancelled)
            refused = [] if is_open else [*self._waiting]
            if not is_open:
                self._waiting.clear()
            if is_over:
                refused += [ticket for ticket in self._active.values() if not ticket._cancelled]
            for ticket in (*cancelled, *refused):
                self._active.pop(ticket._row, None)
            chosen = self._choose() if is_open and not self._decoder.reading else []
            self._active |= {ticket._row: ticket for ticket in chosen}
        for ticket in cancelled:
            ticket._end(Finish.CANCELLED)
        for ticket in refused:
            ticket._end(Finish.FAILED, Closed("the language model was shut down; ask again later"))
        self._decoder.tidy()
        if chosen:
            rows = [ticket._row for ticket in chosen]
            self._attempt(rows, lambda: self._decoder.begin(rows))
        return is_open or bool(self._active)

    def _choose(self) -> list[Ticket]:
        """Those that wait longest and fit: places, and tokens to read with their padding."""
        chosen: list[Ticket] = []
        longest = 0
        while self._waiting and len(self._active) + len(chosen) < self._max_batch:
            longest = max(longest, self._waiting[0].n_prompt)
            if chosen and longest * (len(chosen) + 1) > self._read_tokens:
                break
            chosen.append(self._waiting.popleft())
        return chosen

    def _attempt(self, rows: Sequence[Row], work: Callable[[], object]) -> None:
        """Do a part of the work and deliver what it drew; if it fails, so do its rows alone."""
        rows = [row for row in rows if row.finish is None]
        failure: AnyBindError | None = None
        try:
            work()
        except Exception as error:
            logger.exception("drawing %d answers failed", len(rows))
            failure = _failure(error)
        for row in rows:
            ticket = self._active[row]
            if failure is None:
                self.n_tokens += ticket._deliver()
            else:
                ticket._end(Finish.FAILED, failure)
            if row.finish is not None:
                with self._changed:
                    del self._active[row]
        self._decoder.tidy()


def _failure(error: Exception) -> AnyBindError:
    """What a caller is told; the whole of it is in the log, and would hold on to memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return AnyBindError("there is no memory for so many answers at once; ask again later")
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return AnyBindError(f"the language model failed ({reason}); ask again")
