"""Hard pair mining: two arrays of features in, a PairSet out. Knows no corpus, no encoder and no study.

Legend of the mathematics: N pairs, D dimensions, i a target, j a candidate, a = S^I_ij and b = S^T_ij their image and text
cosines, s = s_ij their product, e a bound on what rounding to 16 bits moves a row, tau a threshold.
"""

from typing import TYPE_CHECKING

from helip.lazy import lazy_names
from helip.mining.pairs import PairSet

if TYPE_CHECKING:
    from helip.mining.miner import mine

__all__ = ["PairSet", "mine"]
__getattr__ = lazy_names(__name__, {"mine": "helip.mining.miner"})  # `mine` needs torch; a sampler that only opens a PairSet does not
