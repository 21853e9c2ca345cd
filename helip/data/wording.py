"""How alike photographs are by what is said of them: TF-IDF over words, which is no encoder that mines, selects or is trained."""

from typing import Any

import numpy as np

from helip.data.corpus import Corpus
from helip.errors import HelipError

FEWEST = 3  # captions of an image: the first is what mining looks at, and of the others at least two are compared with each other


class Wording:
    """The captions of each image but the first, which encoders and selections look at, as unit TF-IDF rows.

    Legend: N images, W words, m_i the mean of the rows of image i.
    """

    def __init__(self, corpus: Corpus):
        """HelipError where an image has fewer than three captions, or captions have no words."""
        counts_N = corpus.caption_counts()
        if counts_N.min(initial=FEWEST) < FEWEST:
            raise HelipError(
                f"{corpus.folder}: an image has {counts_N.min()} captions, and wording compares those beyond the first of {FEWEST}"
            )
        others = [caption for i in range(len(corpus)) for caption in corpus.captions(i)[1:]]
        self._counts_N = counts_N - 1
        rows_MW = tfidf(others, str(corpus.folder))
        self._mean_NW = _means(rows_MW, self._counts_N)
        worded_M = np.diff(rows_MW.indptr) > 0  # a caption of stop words alone is a row of zeros
        self._worded_N = np.add.reduceat(worded_M, np.cumsum(self._counts_N) - self._counts_N)

    def between(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Returns the mean cosine of a caption of image i and one of image j, for each of these pairs, float64 [P] in 0 to 1: m_i · m_j."""
        return np.asarray(self._mean_NW[i].multiply(self._mean_NW[j]).sum(1)).ravel()

    def within(self) -> np.ndarray:
        """Returns the mean cosine of two different captions of one image, float64 [N] in 0 to 1."""
        n = self._counts_N
        squared_N = np.asarray(self._mean_NW.multiply(self._mean_NW).sum(1)).ravel()
        return (n**2 * squared_N - self._worded_N) / (n * (n - 1))


def tfidf(texts: list[str], where: str) -> Any:
    """Returns unit TF-IDF rows of texts, sparse [M, W], without English stop words. HelipError where no text has another word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    except ValueError as error:  # no word but stop words
        raise HelipError(f"{where}: its captions have no words to compare ({error})") from None


def _means(rows_MW: Any, counts_N: np.ndarray) -> Any:
    """The mean row of each image's captions, sparse [N, W]."""
    from scipy.sparse import csr_array

    ends, M = np.cumsum(counts_N), int(counts_N.sum())
    pointers = np.concatenate([[0], ends])
    return csr_array((np.repeat(1 / counts_N, counts_N), np.arange(M), pointers), shape=(len(counts_N), M)) @ csr_array(rows_MW)
