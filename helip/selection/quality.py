"""How well low scores find mismatched pairs, where a generated corpus knows which those are. For the report, never for choosing."""

import numpy as np


def detection(scores: np.ndarray, keep: np.ndarray, mismatched: np.ndarray) -> dict[str, float | None]:
    """Returns precision and recall of the dropped pairs as a detector of mismatches, and the AUC of the score itself (ties count half).

    Shapes [N] all. None where a share has no denominator: nothing dropped, nothing mismatched.
    """
    from scipy.stats import rankdata

    dropped, bad, good = ~keep, int(mismatched.sum()), int((~mismatched).sum())
    detected = int((dropped & mismatched).sum())
    above = rankdata(scores)[~mismatched].sum() - good * (good + 1) / 2  # pairs (good, bad) in which the good one scores higher
    return {
        "mismatched": bad,
        "dropped": int(dropped.sum()),
        "precision": detected / int(dropped.sum()) if dropped.any() else None,
        "recall": detected / bad if bad else None,
        "auc": float(above / (good * bad)) if good and bad else None,
    }
