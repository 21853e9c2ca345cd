"""Are evaluation images among the training images? Perceptual hashes, and near-duplicates between two sets of them."""

from helip.contamination.fingerprints import FINGERPRINT, fingerprint, fingerprint_corpus
from helip.contamination.matching import Matches, near_duplicates

__all__ = ["FINGERPRINT", "Matches", "fingerprint", "fingerprint_corpus", "near_duplicates"]
