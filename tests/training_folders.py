"""A small base with pictures and lists to learn from, and one training that many tests share.

Run as a script by several processes, it trains together what a test trains alone.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from anybind.llm.base import Precision
from anybind.llm.config import BindConfig, Phase
from anybind.llm.records import Source
from anybind.llm.training import Settings, train

BIND = BindConfig(in_dim=256, dim=64, hidden=32, n_blocks=1)
N_PICTURES = 12
STEPS = 6


def write_data(folder: Path, seed: int = 0) -> None:
    """Pictures, questions about them, and a list of text alone; answers of 1 to 9 words."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)

    def words() -> str:
        return " ".join(f"w{i}" for i in rng.integers(3, 110, rng.integers(1, 10)))

    def said(n_turns: int) -> list[dict[str, str]]:
        who = ("human", "gpt")
        return [{"from": who[i % 2], "value": words()} for i in range(2 * n_turns)]

    records: list[dict[str, object]] = []
    for i in range(N_PICTURES):
        pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        records.append({"image": f"{i}.png", "conversations": said(1)})
    chat = said(3)
    for turn in (1, 2):
        chat[2 * turn]["value"] += "<image>"
    records.append({"image": ["3.png", "5.png"], "conversations": chat})
    (folder / "pictures.json").write_text(json.dumps(records))
    texts = [{"instruction": words(), "output": words()} for _ in range(5)]
    (folder / "texts.json").write_text(json.dumps(texts))


def stage(
    folder: Path,
    out: str,
    *,
    phase: Phase = Phase.PRETRAIN,
    adapter: Path | None = None,
    steps: int | None = STEPS,
    batch_size: int = 6,
    accumulation: int = 1,
    lr: float = 0.01,
    weight_decay: float = 0.5,
    max_norm: float | None = None,
    precision: Precision = "auto",
    seed: int = 0,
    shard: bool = False,
    checkpoint_seconds: float = 300.0,
) -> Path:
    """Train on the data of :func:`write_data` below ``folder``, whose base is ``hf``."""
    return train(
        folder / "hf",
        [
            Source(path=folder / "data" / "pictures.json"),
            Source(path=folder / "data" / "texts.json", weight=2.0),
        ],
        folder / out,
        Settings(
            phase=phase,
            steps=steps,
            batch_size=batch_size,
            accumulation=accumulation,
            lr=lr,
            weight_decay=weight_decay,
            warmup=0.0,
            max_norm=max_norm,
            precision=precision,
            max_tokens=100,
            seed=seed,
            shard=shard,
            checkpoint_seconds=checkpoint_seconds,
        ),
        bind=BIND if adapter is None else None,
        lora_rank=4,
        adapter=adapter,
        vectors=folder / "vectors",
        device="cpu",
        progress=False,
    )


def losses(out: Path) -> list[float]:
    """The loss of every step."""
    return logged(out, "loss")


def logged(out: Path, column: str) -> list[float]:
    """A figure of every step, in the order of the log."""
    with (out / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    return [float(row[column]) for row in rows]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for how in ("copied", "sharded"):
        first = stage(place, f"{how}1", accumulation=2, shard=how == "sharded")
        stage(place, f"{how}2", phase=Phase.FINETUNE, adapter=first, shard=how == "sharded")
        stage(place, f"{how}-resumed", shard=how == "sharded")
