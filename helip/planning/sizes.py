"""How large things are: from an artefact that is there, else as declared. None where nobody has said."""

from helip.config import GeneratedSet, Pairs, UnionCorpus
from helip.io import read_json
from helip.study import Study


def pairs_in(study: Study, corpus: str) -> int | None:
    """Pairs of a corpus. Published sizes are an upper bound: addresses rot."""
    manifest = study.corpus_dir(corpus) / "manifest.json"
    if manifest.exists():
        return read_json(manifest)["size"]
    match study.declaration.corpora[corpus]:
        case UnionCorpus(of=members):
            sizes = [pairs_in(study, m) for m in members]
            return None if None in sizes else sum(sizes)
    return study.declared_size(corpus)


def images_in(study: Study, name: str) -> tuple[int | None, int | None]:
    """Test images of an evaluation set, and images its probe trains on."""
    written = study.evaluation_dir(name) / "evaluation.json"
    declared = study.declaration.evaluation[name]
    if isinstance(declared, GeneratedSet):
        return declared.items, declared.train_items
    said = read_json(written) if written.exists() else {}
    train = declared.expected.train_items or said.get("train_items") or (None if declared.probe else 0)
    return said.get("items") or declared.expected.items, train


def compared_billions(spec: Pairs, size: int) -> float:
    """Pairs of pairs that a mining job looks at, in billions."""
    return size * min(spec.pool or size, size) / 1e9
