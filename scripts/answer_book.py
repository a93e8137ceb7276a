"""Answers of a language model, kept on disk, so that nothing is asked twice.

A book is for one base, adapter, precision and way of generating. In it an answer stands under the
digest of its prompt and the vector that was shown with it; whatever leads to the same vector (the
same medium without the cache, in several tables) is asked once, and a run that was stopped goes on
where it was.

On a CPU several processes of one thread each answer as much as one process of as many threads (1.07
times in a trial on two idle cores, 2026-11-30), and keep that up beside other work, where threads
wait for one another.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import torch
from tqdm import tqdm

from anybind.encoders.modality import Vectors
from anybind.files import sha256_file
from anybind.llm.base import Precision
from anybind.llm.config import Generation
from anybind.llm.model import LanguageModel, load_language_model
from anybind.world.workers import map_in_order

BOOKS = Path("runs/answers")
CHUNK = 256  # answers made by one process and written to the disk together
GREEDY = Generation(max_tokens=48, temperature=0)  # a caption of two things has about 20 tokens


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Prompts, each with the vector ``(n, dim)`` that is shown beside it."""

    prompts: Sequence[str]
    vectors: Vectors


class AnswerBook:
    """A language model that remembers. Close it after use; it is a context manager."""

    def __init__(
        self,
        base: Path,
        adapter: Path,
        *,
        folder: Path = BOOKS,
        precision: Precision = "auto",
        batch_size: int = 64,
        workers: int = 0,
    ) -> None:
        """Load the model and open its book.

        Args:
            base: Folder of the language model.
            adapter: File of its adapter.
            folder: Of the books.
            precision: Of the language model.
            batch_size: Prompts answered at once.
            workers: Processes that answer, of one thread each; with 0 this one does.

        Raises:
            UsageError: There is no such folder.
            WeightsError: A file is damaged, or the adapter is for another base.
        """
        self.model: LanguageModel = load_language_model(base, adapter, precision=precision)
        self.workers = workers
        self._answer = (
            partial(_of_worker, base=base, adapter=adapter, precision=precision, batch=batch_size)
            if workers
            else partial(_generate, self.model, batch=batch_size)
        )
        self.made = 0  # answers since it was opened ...
        self.seconds = 0.0  # ... and what they took
        facts = {
            "base": self.model.base.fingerprint,
            "adapter": sha256_file(adapter),
            "precision": str(self.model.base.llama.dtype),
            "generation": asdict(GREEDY),
        }
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        self._book = sqlite3.connect(folder / f"{name}.sqlite")
        with self._book:
            self._book.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, text)")
        self._kept: dict[bytes, str] = dict(self._book.execute("SELECT key, text FROM answers"))

    def close(self) -> None:
        """Close the file."""
        self._book.close()

    def __enter__(self) -> "AnswerBook":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, prompts: Sequence[str], vectors: Vectors, *, what: str) -> list[str]:
        """The answer to each prompt beside its vector, generated where it is not known.

        Args:
            prompts: ``n``, as :func:`.prompt.format_prompt` makes them.
            vectors: ``(n, dim)``.
            what: Stands before the bar on stderr.
        """
        keys = [
            hashlib.sha256(prompt.encode() + b"\0" + vector.tobytes()).digest()
            for prompt, vector in zip(prompts, vectors, strict=True)
        ]
        first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._kept}
        # prompts of a kind together: they and their answers are about equally long
        todo = sorted(first.values(), key=lambda i: (len(prompts[i]), prompts[i], i))
        places = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
        chunks = (
            Chunk(prompts=[prompts[i] for i in some], vectors=vectors[some]) for some in places
        )
        began = time.perf_counter()
        with tqdm(total=len(todo), desc=what, unit=" answers", leave=False) as bar:
            answers = map_in_order(self._answer, chunks, self.workers)
            for some, texts in zip(places, answers, strict=True):
                new = {keys[i]: text for i, text in zip(some, texts, strict=True)}
                with self._book:
                    self._book.executemany(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?)", new.items()
                    )
                self._kept |= new
                self.made += len(some)
                bar.update(len(some))
        self.seconds += time.perf_counter() - began
        return [self._kept[key] for key in keys]


def _of_worker(
    chunk: Chunk, *, base: Path, adapter: Path, precision: Precision, batch: int
) -> list[str]:
    """What a process of the pool answers."""
    torch.set_num_threads(1)
    return _generate(_model(base, adapter, precision), chunk, batch=batch)


@cache
def _model(base: Path, adapter: Path, precision: Precision) -> LanguageModel:
    """The model of a process, loaded with the first chunk."""
    return load_language_model(base, adapter, precision=precision)


def _generate(model: LanguageModel, chunk: Chunk, *, batch: int) -> list[str]:
    return model.generate(chunk.prompts, chunk.vectors, GREEDY, batch_size=batch)
