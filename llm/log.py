"""The figures of a training, one row a step: a table for people, curves for TensorBoard."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from ..files import writing

LAST = 100  # steps whose mean loss stands for a training


class TrainingLog:
    """``log.csv`` and ``events/`` in a folder; rows of steps that are done again are dropped."""

    def __init__(self, folder: Path, first: int) -> None:
        """Go on before step ``first``."""
        path = folder / "log.csv"
        rows: list[list[str]] = []
        if first and path.exists():
            with path.open(newline="") as file:
                rows = [
                    row for row in csv.reader(file) if not row[0].isdecimal() or int(row[0]) < first
                ]
        with writing(path):
            self._file = path.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerows(rows)
        self._head = bool(rows)
        self._writer = SummaryWriter(str(folder / "events"), purge_step=first)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one step."""
        with writing(Path(self._file.name)):
            if not self._head:
                self._csv.writerow(["step", *figures])
                self._head = True
            self._csv.writerow([step, *(f"{value:.9g}" for value in figures.values())])
            self._file.flush()
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._writer.close()


def last_loss(folder: Path) -> float:
    """The mean loss of the last steps of a log."""
    with (folder / "log.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)][-LAST:]
    return sum(losses) / len(losses)
