"""One study: its runs, tables and claims, resolved from experiments/. Never imports torch."""

from helip.study.study import FILES_ONLY, Study, load, names, seed_number, start_seed, total

__all__ = ["FILES_ONLY", "Study", "load", "names", "seed_number", "start_seed", "total"]
