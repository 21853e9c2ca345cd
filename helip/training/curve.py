"""The curve of a training: a row of numbers per step, checked for NaN, and written beside the model."""

import csv
import math
import statistics
from pathlib import Path

import torch
from torch import Tensor

from helip.errors import HelipError

AT_CHANCE = 0.98  # of ln B, from which a loss is at chance
PENDING = 50  # steps whose numbers may still be on the GPU: reading each at once would stall it


class NotFiniteError(HelipError):
    """A loss or a weight is NaN or infinite; the trainer adds which state there is to go back to."""


class MetricsLog:
    """The log holds rows of step -> {column: number}; numbers still on the device are read every few steps."""

    def __init__(self):
        self.rows: list[dict[str, float]] = []
        self._pending: list[tuple[dict[str, float], dict[str, Tensor]]] = []

    def add(self, known: dict[str, float], on_device: dict[str, Tensor]) -> None:
        """Adds the row of a step: numbers that are `known` and scalars that are still on the device, the loss first.

        HelipError is raised, now or at a later `read`, when the loss is not finite.
        """
        self._pending.append((known, on_device))
        if len(self._pending) >= PENDING or next(iter(on_device.values())).device.type == "cpu":
            self.read()

    def read(self) -> None:
        """Moves pending numbers into rows; HelipError is raised at the first loss that is not finite."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        values = torch.stack([torch.stack([v.double() for v in tensors.values()]) for _, tensors in pending]).tolist()
        for (known, tensors), row in zip(pending, values, strict=True):
            step = int(known["step"])
            if not math.isfinite(row[0]):
                raise NotFiniteError(f"the loss is {row[0]} at step {step}: lower learning_rate, set clip_norm or use fp32")
            self.rows.append(known | dict(zip(tensors, row, strict=True)))

    def note(self, step: int, **values: float) -> None:
        """Adds columns to the row of a step that has been taken, or makes a row for the start (step 0)."""
        self.read()
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        self.rows[-1].update(values)

    @property
    def last_loss(self) -> str:
        """This is the latest loss in words, for a line of progress; empty before the first."""
        return next((f"loss {r['loss']:.4f}" for r in reversed(self.rows) if "loss" in r), "")

    def verdict(self, batch_size: int) -> str:
        """Returns what is wrong with how the loss ended, as a sentence, or nothing: above where it began, or at chance.

        Its mean over the first and over the last tenth of the steps are compared; a difference within two standard errors is none. Chance
        is the contrastive loss ln B of a model that cannot tell the pairs of a batch of `batch_size` = B apart.
        """
        losses = [row["loss"] for row in self.rows if "loss" in row]
        window = len(losses) // 10
        first, last = (sum(part) / len(part) if part else math.nan for part in (losses[:window], losses[len(losses) - window :]))
        if window > 1:
            spread = [statistics.variance(part) / window for part in (losses[:window], losses[-window:])]
            if last > first + 2 * math.sqrt(sum(spread)):
                return f"the loss ended at {last:.4f}, above the {first:.4f} it began at: lower learning_rate"
        contrastive = [row["clip"] for row in self.rows if "clip" in row][-max(1, window) :]
        chance = math.log(batch_size)
        if contrastive and sum(contrastive) / len(contrastive) > AT_CHANCE * chance:
            return f"the contrastive loss ended at chance (ln {batch_size} = {chance:.4f}): the model tells no pair from another"
        return ""

    @property
    def columns(self) -> list[str]:
        """This lists the names of all columns, in the order in which they are written."""
        first = ["step", "loss"]
        last = ["lr", "logit_scale", "validation", "retention", "samples_per_second"]
        seen = dict.fromkeys(name for row in self.rows for name in row)
        return [*first, *(n for n in seen if n not in first + last), *(n for n in last if n in seen)]

    def state_dict(self) -> dict:
        """Returns the columns and their values as a float64 tensor [rows, columns], NaN where a row has no number."""
        columns = self.columns
        values = [[row.get(name, math.nan) for name in columns] for row in self.rows]
        return {"columns": columns, "values": torch.tensor(values, dtype=torch.float64).reshape(-1, len(columns))}

    def load_state_dict(self, state: dict) -> None:
        """Replaces the rows by those of a `state_dict`."""
        rows = [dict(zip(state["columns"], row, strict=True)) for row in state["values"].tolist()]
        self.rows = [{n: int(v) if n == "step" else v for n, v in row.items() if not math.isnan(v)} for row in rows]

    def write(self, path: Path) -> None:
        """Writes the rows as CSV; a number that a row does not have is left empty."""
        with open(path, "w", newline="") as f:
            writer = csv.DictWriter(f, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
