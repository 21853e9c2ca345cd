"""Which pairs are worth training on: scored by the model that will be refined, the highest kept. Definitions of arXiv 2405.19547.

Legend: N pairs, D dimensions, T target images, B pairs in a batch, i a pair, j another of its batch, s_ij the cosine of image i
and text j, tau the temperature.
"""

from helip.lazy import lazy_names
from helip.selection.keep import keep_top

__all__ = ["clip_score", "keep_top", "norm_sim", "s_clip_loss"]
# The scores need torch; what only keeps the best of a column does not.
__getattr__ = lazy_names(__name__, dict.fromkeys(("clip_score", "norm_sim", "s_clip_loss"), "helip.selection.scores"))
