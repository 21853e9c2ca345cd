"""The jobs behind a study's tables, each with how much work it is and how much it leaves on disk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helip.config import Cost, Resources, RunEncoder, SelfSupervisedEncoder, UnionCorpus
from helip.errors import HelipError
from helip.planning.sizes import compared_billions, images_in, pairs_in
from helip.study import FILES_ONLY, Study, start_seed
from helip.study.resolve import encoders_of


@dataclass(frozen=True)
class Job:
    """`units` say how long it takes, `items` how much it keeps; None: nobody has said how large its data are.

    corpus, fingerprint, encode: pairs. mine: billions of compared pairs, and kept neighbours; mine_shard: the same of a part, whose
    files the merge removes; a merge: kept neighbours. select, filter: their share of the pairs that are encoded once for all of them;
    a filter keeps neighbours. train: samples seen, and one model. evaluate: test images, and so many results. probe: images trained on.
    import: one checkpoint. evaluation_set, check_data: images.
    """

    stage: str
    name: str
    output: Path
    resources: Resources
    units: float | None
    items: float | None
    costs: tuple[str, ...]  # keys of the study's costs, the most particular first
    merged: Path | None = None  # of a shard: what it becomes a part of, and vanishes

    @property
    def is_done(self) -> bool:
        return self.output.exists() or (self.merged is not None and self.merged.exists())

    def cost(self, study: Study) -> Cost | None:
        return next((study.declaration.costs[key] for key in self.costs if key in study.declaration.costs), None)


def jobs(study: Study, tables: Iterable[str] | None = None) -> list[Job]:
    """Every job behind these tables (all that the study can make, if None; then with the contamination check), each once."""
    wanted = (
        list(tables) if tables is not None else [t for t in study.tables if "/" not in t and (study.table_metrics(t) or _mined(study, t))]
    )
    found: dict[Path, Job] = {}
    for table in wanted:
        for job in _of_table(study, table):
            found.setdefault(job.output, job)
    if tables is None and study.contamination_file:
        for job in _of_contamination(study):
            found.setdefault(job.output, job)
    if any(job.resources.gpu for job in found.values()):
        check = _check_data(study)
        found[check.output] = check
    return list(found.values())


def _of_table(study: Study, table: str) -> Iterator[Job]:
    metrics = study.table_metrics(table)  # refuses an unknown table
    files = set(metrics)
    for run in study.runs.values():
        for seed in run.seeds:
            for stage in ("evaluate", "probe"):
                tasks = study.tasks(stage)
                if any(study.metrics_file(run.name, seed, *task) in files for task in tasks):
                    yield from _model(study, run.name, seed)
                    yield from (_evaluation_set(study, name) for name, _ in tasks)
                    yield _metrics(study, run.name, seed, stage)
    for pairs in _mined(study, table):
        yield from _pairs(study, pairs)
    yield Job("table", table, study.root / f"{table}.csv", Resources(), 0, 0, ())


def _mined(study: Study, table: str) -> list[str]:
    """The pair sets whose making a table reports (table 10: its times)."""
    if not any(c.metric.startswith("mine.") for c in study.tables[table].columns):
        return []
    runs = [study.runs[run] for _, _, run, *_ in study.table_rows(table) if run]
    return sorted({study.pairs_name(run) for run in runs if run.pairs})


# ---------------------------------------------------------------- one job and what it needs


def _corpus(study: Study, name: str) -> Iterator[Job]:
    declared, size = study.declaration.corpora[name], pairs_in(study, name)
    if isinstance(declared, UnionCorpus):
        for member in declared.of:
            yield from _corpus(study, member)
    costs = (f"corpus.{name}", f"corpus.{declared.kind}", "corpus")
    yield Job("corpus", name, study.corpus_dir(name) / "manifest.json", study.resources("corpus"), size, size, costs)


def _evaluation_set(study: Study, name: str) -> Job:
    test, train = images_in(study, name)
    size = None if test is None or train is None else test + train
    out = study.evaluation_dir(name) / "evaluation.json"
    return Job("evaluation_set", name, out, study.resources("evaluation_set"), size, size, (f"evaluation_set.{name}", "evaluation_set"))


def _check_data(study: Study) -> Job:
    sets = [_evaluation_set(study, name).units for name in study.declaration.evaluation]
    images, asks = None if None in sets else sum(sets), study.resources("evaluation_set")
    return Job("check_data", "all", study.root / "data.json", asks, images, 0, ("check_data", "evaluation_set"))


def _features(study: Study, corpus: str, encoder: str) -> Iterator[Job]:
    size, both = pairs_in(study, corpus), f"{corpus} {encoder}"
    members = study.joined_corpora(corpus, encoder)
    for member in members:
        yield from _features(study, member, encoder)
    if not members:
        yield from _encoder(study, corpus, encoder)
    out, costs = study.features_dir(corpus, encoder) / "features.npy", (f"encode.{encoder}", "encode")
    yield Job("encode", both, out, study.resources("encode"), 0 if members else size, size, costs)


def _encoder(study: Study, corpus: str, encoder: str) -> Iterator[Job]:
    """What has to be trained before the corpus can be encoded."""
    match study.declaration.encoders[encoder]:
        case RunEncoder(run=run, seed=seed):
            yield from _model(study, run, str(seed))
        case SelfSupervisedEncoder(epochs=epochs, corpus=home):
            home = home or corpus
            yield from _corpus(study, home)
            size, out = pairs_in(study, home), study.encoder_dir(corpus, encoder) / "model.safetensors"
            seen = None if size is None else epochs * size
            yield Job("train_encoder", f"{home} {encoder}", out, study.resources("train_encoder"), seen, 1, ("train_encoder",))


def _pairs(study: Study, name: str) -> Iterator[Job]:
    corpus, spec = study.pairs_entry(name)
    yield from _corpus(study, corpus)
    for encoder in encoders_of(spec):
        yield from _features(study, corpus, encoder)
    size = pairs_in(study, corpus)
    units, items = (None, None) if size is None else (compared_billions(spec, size), size * spec.k)
    shards, out, costs = study.mine_shards(name), study.pairs_dir(name) / "pairs.json", (f"mine.{corpus}", "mine")
    for shard in shards:
        part = units and units / len(shards)
        yield Job("mine_shard", f"{name} {shard.name}", shard, study.resources("mine"), part, 0, costs, merged=out)
    if shards or not encoders_of(spec):
        units, costs = items, ("merge",)
    yield Job("mine", name, out, study.mining_resources(name), units, items, costs)


def _model(study: Study, name: str, seed: str) -> Iterator[Job]:
    run, out = study.run(name), study.model_dir(name, seed) / "open_clip_model.safetensors"
    if name in study.declaration.published:
        yield Job("import", f"{name} seed {seed}", out, FILES_ONLY, 1, 1, (f"import.{name}", "import"))
        return
    yield from _corpus(study, run.corpus)
    if run.start:
        yield from _model(study, run.start, start_seed(seed))
    if run.interpolate:
        yield from _model(study, run.interpolate.run, seed)
        yield Job("interpolate", f"{name} seed {seed}", out, Resources(), 0, 1, (f"train.{run.model}", "train"))
        return
    if run.pairs:
        yield from _pairs(study, study.pairs_name(run))
    if run.false_negative_margin is not None:
        yield _filtered(study, name, seed)
    if run.select:
        yield _selection(study, name, seed)
    size, recipe = pairs_in(study, run.corpus), run.recipe
    seen = recipe.steps * recipe.batch_size if recipe.steps else None if size is None else recipe.epochs * size
    costs = (f"train.{name}", f"train.{run.model}", "train")
    yield Job("train", f"{name} seed {seed}", out, study.resources("train"), seen, 1, costs)


def _judgements(study: Study, start: str) -> int:
    """Selections and filters by a start checkpoint, which encodes the corpus once for all of them."""
    runs = [r for r in study.runs.values() if r.start == start]
    selections = {study.selection_name(r.name) for r in runs if r.select}
    return len(selections | {study.filtered_name(r.name) for r in runs if r.false_negative_margin is not None})


def _selection(study: Study, name: str, seed: str) -> Job:
    run, out = study.run(name), study.selection_dir(name, seed) / "keep.npy"
    size = pairs_in(study, run.corpus)
    share = size and size / _judgements(study, run.start)
    return Job("select", f"{run.start} {out.parent.name}", out, study.resources("select"), share, share, ("select",))


def _filtered(study: Study, name: str, seed: str) -> Job:
    run, out = study.run(name), study.drawn_pairs(name, seed) / "pairs.json"
    size = pairs_in(study, run.corpus)
    share, kept = size and size / _judgements(study, run.start), size and size * run.pairs.k
    return Job("filter", f"{run.start} {out.parent.name}", out, study.resources("filter"), share, kept, ("filter",))


def _metrics(study: Study, name: str, seed: str, stage: str) -> Job:
    tasks = study.tasks(stage)
    images = [images_in(study, set_name) for set_name, _ in tasks]
    counted = [test if stage == "evaluate" else train for test, train in images]
    units = None if None in counted else sum(counted)
    out = study.metrics_file(name, seed, *tasks[0])
    return Job(stage, f"{name} seed {seed}", out, study.resources(stage), units, units, (stage,))


def _of_contamination(study: Study) -> Iterator[Job]:
    for corpus in study.own_corpora:
        yield from _corpus(study, corpus)
        size = pairs_in(study, corpus)
        out = study.fingerprint_dir(corpus) / "fingerprints.npy"
        yield Job("fingerprint", corpus, out, study.resources("fingerprint"), size, size, (f"fingerprint.{corpus}", "fingerprint"))
    sizes = [pairs_in(study, c) for c in study.own_corpora]
    total = None if None in sizes else sum(sizes)
    yield Job("contamination", "all", study.contamination_file, study.resources("contamination"), total, 0, ("contamination",))


def check_costs(study: Study) -> None:
    """A cost that no job would look up is a misspelling."""
    known = {"import", "corpus", "evaluation_set", "train_encoder", "encode", "mine", "merge", "select", "filter", "train", "evaluate"}
    known |= {"probe", "fingerprint", "contamination", "check_data"}
    for key in study.declaration.costs:
        if key.partition(".")[0] not in known:
            raise HelipError(f"{study.file}: costs -> {key}: there is no such stage; the stages are {', '.join(sorted(known))}")
