"""Answers of a language model, kept on disk, so that nothing is asked twice.

A book is for one base, adapter, precision and way of generating. In it an answer stands under the
digest of its prompt and the vector that was shown with it; whatever leads to the same vector (the
same medium without the cache, in several tables) is asked once, and a run that was stopped goes on
where it was.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from anybind.encoders.modality import Vectors
from anybind.files import sha256_file
from anybind.llm.base import Precision
from anybind.llm.config import Generation
from anybind.llm.model import LanguageModel, load_language_model

BOOKS = Path("runs/answers")
CHUNK = 1024  # answers written to the disk together
GREEDY = Generation(max_tokens=48, temperature=0)  # a caption of two things has about 20 tokens


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
    ) -> None:
        """Load the model and open its book.

        Raises:
            UsageError: There is no such folder.
            WeightsError: A file is damaged, or the adapter is for another base.
        """
        self.model: LanguageModel = load_language_model(base, adapter, precision=precision)
        self.batch_size = batch_size
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
        with tqdm(total=len(todo), desc=what, unit=" answers", leave=False) as bar:
            for start in range(0, len(todo), CHUNK):
                some = todo[start : start + CHUNK]
                began = time.perf_counter()
                texts = self.model.generate(
                    [prompts[i] for i in some], vectors[some], GREEDY, batch_size=self.batch_size
                )
                self.seconds += time.perf_counter() - began
                self.made += len(some)
                new = {keys[i]: text for i, text in zip(some, texts, strict=True)}
                with self._book:
                    self._book.executemany(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?)", new.items()
                    )
                self._kept |= new
                bar.update(len(some))
        return [self._kept[key] for key in keys]
