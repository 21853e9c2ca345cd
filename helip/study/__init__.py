"""One study: its runs, tables and claims, resolved from experiments/. Never imports torch."""

from helip.study.seeds import independent, paired_seeds, seed_number, start_seed
from helip.study.study import FILES_ONLY, Study, load, total

__all__ = ["FILES_ONLY", "Study", "independent", "load", "paired_seeds", "seed_number", "start_seed", "total"]
