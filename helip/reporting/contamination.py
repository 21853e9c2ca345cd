"""Evaluation images among the training images, as the study counted them (the stage `contamination`). Markdown."""

from helip.io import read_json
from helip.study import Study

SAID = (
    "Test images with a near-duplicate among the training images, by perceptual hashes (at most {dct_bits} bits of 64 of one and "
    "{gradient_bits} of another differ). Nothing was removed: the numbers above are of whole sets, as the paper's are."
)


def contamination(study: Study) -> str:
    """A row for each evaluation set and corpus; nothing where all corpora are generated, and their evaluation sets with them."""
    file = study.contamination_file
    if file is None or not file.exists():
        return ""
    about = read_json(file)
    lines = ["| Evaluation set | Corpus | Test images | Of them in the corpus | Share |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {c['set']} | {c['corpus']} | {c['items']:,} | {c['found']:,} | {100 * c['share']:.2f} % |" for c in about["counts"]]
    return SAID.format(**about["declaration"]) + "\n\n" + "\n".join(lines)
