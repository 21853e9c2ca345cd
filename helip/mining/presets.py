"""Mining as the paper describes it and as its released code does it (docs/explanation/discrepancies.md lists where they part)."""

from typing import Any

from helip.config import MiningSpec

PAPER = MiningSpec()  # section 3.2 and appendix A: exact HPM, both tau 0.5, k = 500 candidates kept, no near-duplicate rule


def released_code(corpus_size: int, k: int = 100) -> MiningSpec:
    """Returns what the released code does: no tau, cosines > 0.98 zeroed, top 100, one pool of 3 million for each 300,000 targets.

    Not repeated here: a text cosine > 0.995 becomes -1 there, so that it scores *positively* beside a negative image cosine.
    """
    plain: dict[str, Any] = {"k": k, "tau_image": None, "tau_text": None, "max_similarity": 0.98}
    if corpus_size <= 3_000_000:
        return MiningSpec(method="hpm", **plain)
    return MiningSpec(method="fast_hpm", pool=3_000_000, pool_block=300_000, **plain)
