"""What is served: named indices, their encoders and the language model, and how far they are.

Everything loads in the background, so that the server answers ``/healthz`` at once and
``/readyz`` says what is still missing. A reload opens the newest generation beside the running one
and swaps; requests in work finish on the one they began with.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AnyBindError
from .problems import Problem

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder
    from ..llm.presets import LanguageModels
    from ..pipeline import AnyBind

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = "language model"
READY, LOADING = "ready", "loading"


@dataclass(frozen=True, kw_only=True, eq=False)
class Collection:
    """One generation of one index, with its encoder and language models."""

    name: str
    ab: "AnyBind"

    @property
    def generation(self) -> int:
        """Its number, from 1."""
        return self.ab.index.generation.number


class Hub:
    """The indices of a server by name. Safe from many threads.

    Args:
        folders: Index folders by name; the first one answers where none is named.
        opener: Opens a folder, with an encoder and language models that are open already if there
            are any that fit: :func:`.pipeline.load` with the operator's options.
        answers: Load the language model too.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        opener: "Opener",
        *,
        answers: bool = True,
    ) -> None:
        self._folders = dict(folders)
        self._open = opener
        self._answers = answers
        self._collections: dict[str, Collection] = {}
        self._parts: dict[str, str] = {_part(name): LOADING for name in folders}
        if answers:
            self._parts[LANGUAGE_MODEL] = LOADING
        self._changing = threading.Lock()  # one load or reload at a time

    @property
    def names(self) -> Sequence[str]:
        """Of the indices, the default one first."""
        return tuple(self._folders)

    @property
    def parts(self) -> Mapping[str, str]:
        """How far each part is: ``ready``, ``loading``, or why it failed."""
        return dict(self._parts)

    @property
    def generations(self) -> Mapping[str, int]:
        """Of the indices that are loaded."""
        return {name: each.generation for name, each in self._collections.items()}

    @property
    def can_answer(self) -> bool:
        """Whether the language model is loaded."""
        return self._parts.get(LANGUAGE_MODEL) == READY

    def get(self, name: str | None = None) -> Collection:
        """An index by its name, or the first one.

        Raises:
            Problem: There is none of that name (404), or it is not loaded (503).
        """
        name = self.names[0] if name is None else name
        if name not in self._folders:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"no index is called {name!r}; there are {', '.join(self.names)}",
                kind="index",
            )
        if name not in self._collections:
            state = self._parts[_part(name)]
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the index {name} is loading; try again soon"
                if state == LOADING
                else f"the index {name} could not be opened: {state}",
                kind="index",
                headers={"Retry-After": "1"},
            )
        return self._collections[name]

    def check_answers(self) -> None:
        """Refuse a question while there is no language model.

        Raises:
            Problem: It is still loading, or could not be loaded (503).
        """
        state = self._parts.get(LANGUAGE_MODEL, "the server was started without it")
        if state != READY:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the language model is loading; try again soon"
                if state == LOADING
                else f"the language model could not be loaded: {state}",
                kind="language-model",
                headers={"Retry-After": "2"} if state == LOADING else {},
            )

    def open_indices(self, then: Callable[[Collection], object] = lambda collection: None) -> None:
        """Open every index. What fails is noted, and does not stop the rest.

        Args:
            then: Called with the first index once it is there.
        """
        with self._changing:
            for name, folder in self._folders.items():
                with self._noting(_part(name)):
                    first = not self._collections
                    self._collections[name] = self._opened(name, folder)
                    if first:
                        then(self._collections[name])

    def load_language_model(self) -> None:
        """Load what answers, if anything is to. That it fails is noted."""
        if not self._answers:
            return
        from ..llm.presets import Task

        with self._changing, self._noting(LANGUAGE_MODEL):
            if not self._collections:
                raise AnyBindError("it is loaded for the vectors of an index, and there is none")
            ab = next(iter(self._collections.values())).ab
            for task in Task:
                ab.language_models.get(task, ab.encoder)

    def reload(self, name: str | None = None) -> tuple[list[str], dict[str, str]]:
        """Swap to the newest generations; those that did not change stay as they are.

        Args:
            name: Of one index; by default all.

        Returns:
            The names of those that changed, and why others could not be opened, by name: their
            running generations stay.

        Raises:
            Problem: There is no such index.
        """
        if name is not None and name not in self._folders:
            self.get(name)
        changed: list[str] = []
        failed: dict[str, str] = {}
        with self._changing:
            for each in self.names if name is None else [name]:
                running = self._collections.get(each)
                try:
                    newest = self._opened(each, self._folders[each])
                except AnyBindError as error:
                    failed[each] = str(error)
                    continue
                if running is None or _identity(running) != _identity(newest):
                    self._collections[each] = newest
                    self._parts[_part(each)] = READY
                    changed.append(each)
                    logger.info("reloaded index=%s generation=%d", each, newest.generation)
        return changed, failed

    def _opened(self, name: str, folder: Path) -> Collection:
        """A folder with the encoder and the language models of the others where they fit."""
        started = time.perf_counter()
        encoders = {c.ab.encoder.name: c.ab.encoder for c in self._collections.values()}
        models = next((c.ab.language_models for c in self._collections.values()), None)
        collection = Collection(name=name, ab=self._open(folder, encoders, models))
        seconds = time.perf_counter() - started
        logger.info(
            "opened index=%s generation=%d items=%d seconds=%.2f",
            *(name, collection.generation, len(collection.ab.index), seconds),
        )
        return collection

    @contextmanager
    def _noting(self, part: str) -> Iterator[None]:
        """Note after the block that a part is ready, or why it failed; that ends here."""
        self._parts[part] = LOADING
        try:
            yield
        except Exception as error:
            self._parts[part] = reason_of(error, part)
        else:
            self._parts[part] = READY


class Opener:
    """Opens index folders in the operator's way; see :func:`.pipeline.load` for the options.

    Args:
        options: Of :func:`.pipeline.load`, but for the folder.
    """

    def __init__(self, **options: object) -> None:
        self._options = options

    def __call__(
        self,
        folder: Path,
        encoders: "Mapping[str, Encoder]",
        models: "LanguageModels | None",
    ) -> "AnyBind":
        """Open a folder.

        Args:
            folder: An index folder.
            encoders: That are open already, by name.
            models: The language models that are open already.
        """
        from ..index.manifest import Manifest
        from ..pipeline import AnyBind, load

        options = dict(self._options)
        if "encoder" not in options:
            found = encoders.get(Manifest.load(folder).encoder.name)
            if found is not None:
                options["encoder"] = found
        ab = load(folder, **options)  # type: ignore[arg-type]  # the command line's, checked there
        return ab if models is None else AnyBind(ab.encoder, ab.index, models)


def reason_of(error: Exception, part: str) -> str:
    """The reason why a part of the server failed, which is logged as well."""
    if isinstance(error, AnyBindError):
        logger.error("could not load part=%r reason=%s", part, error)
        return str(error)
    logger.error("could not load part=%r", part, exc_info=error)
    return f"{type(error).__name__}: {error}"


def _part(name: str) -> str:
    return f"index {name}"


def _identity(collection: Collection) -> tuple[object, ...]:
    """What tells generations apart."""
    generation = collection.ab.index.generation
    return generation.number, generation.sha256, collection.ab.index.manifest.counts
