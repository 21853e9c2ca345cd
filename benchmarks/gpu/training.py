"""Training on this device in each precision: steps a second, memory, and whether a stopped training goes on to the same numbers.

python benchmarks/gpu/training.py --device cuda --out training.jsonl
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from toys import RESNET, VIT, ToyCorpus, declaration, job, refinement

from helip.io import provenance
from helip.models import loading
from helip.rehearsal.jobs.train import StopAfter
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer

STEPS = 12


def trained(folder: Path, device: str, precision: str, vision: dict, stop: int | None) -> Trainer:
    """Returns a trainer at its end, that was stopped after so many steps and resumed."""
    recipe = refinement(steps=STEPS, batch_size=48, precision=precision, arm="helip")
    corpus = ToyCorpus(240)

    def trainer() -> Trainer:
        clip = loading.new(declaration(vision), corpus, folder / "tokenizer", seed=0)
        return Trainer(job(folder, recipe, corpus, clip), DistributedContext(device=torch.device(device)))

    one = trainer()
    if stop:
        assert not one.run(StopAfter(stop))
        one = trainer()
        assert one.step == stop
    assert one.run(StopAfter(0))
    return one


def main() -> int:
    """Prints and writes a row for each precision and tower; returns 1 where a resumed training differs from one that went through."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.backends.cudnn.benchmark, wrong, rows = False, 0, []
    for precision in ("fp32", "bf16", "fp16") if a.device == "cuda" else ("fp32", "bf16"):
        for tower, vision in (("vit", VIT), ("resnet", RESNET)):
            with tempfile.TemporaryDirectory() as place:
                begun = time.monotonic()
                whole = trained(Path(place, "whole"), a.device, precision, vision, None)
                seconds = time.monotonic() - begun
                again = trained(Path(place, "again"), a.device, precision, vision, STEPS // 2)
            apart = max((w.float() - again.weights()[name].float()).abs().max().item() for name, w in whole.weights().items())
            finite = all(torch.isfinite(w).all().item() for w in again.weights().values())
            rows.append({"precision": precision, "tower": tower, "seconds": round(seconds, 2), "resumed_apart": apart, "finite": finite})
            # kernels whose sums change their order with the run move float32 weights a little
            wrong += apart > (1e-4 if a.device == "cuda" else 0) or not finite
    here = {name: value for name, value in provenance(None).items() if name in ("machine", "written", "commit")}
    for row in rows:
        print(json.dumps(row | here))
        if a.out:
            with open(a.out, "a") as file:
                file.write(f"{json.dumps(row | here)}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
