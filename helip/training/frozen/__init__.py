"""Training on the cached features of frozen trunks: views of every image and all captions, encoded once; heads from then on.

features = encode_corpus(declaration, encoders, corpus, folder)
clip = new(declaration, encoders, features, seed=0)
job = TrainJob(recipe, clip, corpus, ..., features=features)
"""

from helip.training.frozen.cache import (
    TrunkFeatures,
    Trunks,
    encode_corpus,
    features_of,
    join_features,
    open_features,
    rearrange_features,
    trunks_of,
)
from helip.training.frozen.dataset import RowsToDevice, TrunkDataset, TrunkRows, check
from helip.training.frozen.heads import encode_by_heads, encode_by_trunk, new, over_towers, thawed
from helip.training.frozen.views import Captions, Views, first_captions

__all__ = [
    "Captions", "RowsToDevice", "TrunkDataset", "TrunkFeatures", "TrunkRows", "Trunks", "Views", "check", "encode_by_heads",
    "encode_by_trunk", "encode_corpus", "features_of", "first_captions", "join_features", "new", "open_features", "over_towers",
    "rearrange_features", "thawed", "trunks_of",
]  # fmt: skip
