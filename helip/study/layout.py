"""Where every artefact of a study lies, and the files that each stage reads and writes."""

from pathlib import Path

from helip.config import RunEncoder, SelfSupervisedEncoder, Stage, UnionCorpus
from helip.errors import HelipError
from helip.io import digest
from helip.study.declared import start_seed
from helip.study.digests import Digests
from helip.study.resolve import encoders_of


class Layout(Digests):
    """Readable paths under results/<study>/."""

    def corpus_dir(self, corpus: str) -> Path:
        return self.root / "corpora" / corpus

    def download_dir(self, corpus: str) -> Path:
        """What was fetched so far: undeclared to Snakemake, in a folder named by what is fetched."""
        return self.root / "downloads" / f"{corpus}-{digest(self._known('corpora', corpus).source)}"

    @property
    def contamination_file(self) -> Path | None:
        """Counts of evaluation images among the training images; None where every corpus is generated, and evaluation sets with it."""
        generated = all(self.is_generated(c) for c in self.own_corpora)
        return None if generated else self.root / "contamination.json"

    def data_check(self, stage: Stage) -> list[Path]:
        """The check of all data, which a job that asks for a GPU waits for; nothing where the stage uses none."""
        return [self.root / "data.json"] if self.resources(stage).gpu else []

    def fingerprint_dir(self, corpus: str) -> Path:
        return self.root / "fingerprints" / corpus

    def evaluation_dir(self, name: str) -> Path:
        return self.root / "evaluation" / name

    def encoder_dir(self, corpus: str, encoder: str) -> Path:
        """The weights of an encoder that comes from the study itself: trained on a corpus, or the image or text tower of a run."""
        match self._known("encoders", encoder):
            case RunEncoder(run=run, seed=seed):
                return self.model_dir(run, str(seed))
            case SelfSupervisedEncoder(corpus=home):
                return self.root / "encoders" / (home or corpus) / encoder
        return self.root / "encoders" / corpus / encoder

    def features_dir(self, corpus: str, encoder: str) -> Path:
        return self.root / "features" / corpus / encoder

    def pairs_dir(self, pairs: str) -> Path:
        return self.root / "pairs" / pairs

    def pair_shard_dir(self, pairs: str, shard: tuple[int, int]) -> Path:
        """One shard (i, n) of a mining job, until they are merged."""
        return self.root / "pair_shards" / pairs / f"{shard[0]}of{shard[1]}"

    def selection_dir(self, run: str, seed: str) -> Path:
        """keep.npy and scores.npy of the corpus as the run's start checkpoint sees it; shared by runs that select alike."""
        return self.root / "selections" / self.run(run).start / f"seed{start_seed(seed)}" / self.selection_name(run)

    def filtered_dir(self, run: str, seed: str) -> Path:
        """The run's pairs without those that its start checkpoint takes for matches; shared by runs that filter alike."""
        return self.root / "filtered" / self.run(run).start / f"seed{start_seed(seed)}" / self.filtered_name(run)

    def drawn_pairs(self, run: str, seed: str) -> Path:
        """The folder of the pair set that a refinement draws from."""
        r = self.run(run)
        return self.pairs_dir(self.pairs_name(r)) if r.false_negative_margin is None else self.filtered_dir(run, seed)

    def model_dir(self, run: str, seed: str) -> Path:
        return self.root / "models" / run / f"seed{seed}"

    def state_dir(self, run: str, seed: str) -> Path:
        """Resume state of a training: undeclared to Snakemake, in a folder named by what the training is."""
        return self.root / "state" / f"{run}-seed{seed}-{self.run_digest(run, seed)}"

    def metrics_file(self, run: str, seed: str, name: str, task: str) -> Path:
        return self.root / "metrics" / run / f"seed{seed}" / f"{name}.{task}.json"

    def manifest(self, corpus: str) -> Path:
        self._known("corpora", corpus)
        return self.corpus_dir(corpus) / "manifest.json"

    def corpus_inputs(self, corpus: str) -> list[Path]:
        """The manifests of the corpora that a union is made of."""
        declared = self._known("corpora", corpus)
        return [self.manifest(c) for c in declared.of] if isinstance(declared, UnionCorpus) else []

    def joined_corpora(self, corpus: str, encoder: str) -> tuple[str, ...]:
        """The members of a union whose features are those of its members; none where the encoder or the mean is each corpus' own."""
        declared, one = self._known("corpora", corpus), self._known("encoders", encoder)
        own = one.centre or (isinstance(one, SelfSupervisedEncoder) and one.corpus is None)
        return declared.of if isinstance(declared, UnionCorpus) and not own else ()

    def encode_inputs(self, corpus: str, encoder: str) -> list[Path]:
        if members := self.joined_corpora(corpus, encoder):
            return [self.features_dir(member, encoder) / "features.npy" for member in members]
        match self._known("encoders", encoder):
            case RunEncoder():
                return [self.encoder_dir(corpus, encoder) / "open_clip_model.safetensors"]
            case SelfSupervisedEncoder():
                return [self.encoder_dir(corpus, encoder) / "model.safetensors"]
        return []

    def mine_inputs(self, pairs: str) -> list[Path]:
        corpus, spec = self.pairs_entry(pairs)
        return [self.features_dir(corpus, e) / "features.npy" for e in encoders_of(spec)] or [self.manifest(corpus)]

    def mine_shards(self, pairs: str) -> list[Path]:
        """The folders that a pair set is joined from; nothing where one job mines it."""
        n = self.mining_shards(pairs)
        return [self.pair_shard_dir(pairs, (i, n)) for i in range(n)] if n > 1 else []

    def train_inputs(self, run: str, seed: str) -> list[Path]:
        r = self.run(run)
        if seed not in r.seeds:
            raise HelipError(f"{self.file}: {run} has seeds {', '.join(r.seeds)}, not {seed}")
        if run in self.declaration.published:
            return []
        if r.interpolate:
            ends = self.model_dir(r.start, start_seed(seed)), self.model_dir(r.interpolate.run, seed)
            return [folder / "open_clip_model.safetensors" for folder in ends]
        start = [self.model_dir(r.start, start_seed(seed)) / "open_clip_model.safetensors"] if r.start else []
        pairs = [self.drawn_pairs(run, seed) / "pairs.json"] if r.pairs else []
        selected = [self.selection_dir(run, seed) / "keep.npy"] if r.select else []
        retention = [self.evaluation_dir(r.recipe.retention.set) / "evaluation.json"] if getattr(r.recipe, "retention", None) else []
        return [self.manifest(r.corpus), *start, *pairs, *selected, *retention]

    def select_inputs(self, start: str, seed: str, name: str) -> list[Path]:
        """The corpus, the checkpoint that scores it, and the target set where the score has one."""
        spec = self.selection_entry(start, name)
        target = [self.evaluation_dir(spec.target) / "evaluation.json"] if spec.target else []
        return [self.manifest(self.run(start).corpus), self.model_dir(start, seed) / "open_clip_model.safetensors", *target]

    def filter_inputs(self, start: str, seed: str, name: str) -> list[Path]:
        """The corpus, the checkpoint that judges, and the pairs."""
        pairs, _ = self.filter_entry(start, name)
        weights = self.model_dir(start, seed) / "open_clip_model.safetensors"
        return [self.manifest(self.run(start).corpus), weights, self.pairs_dir(pairs) / "pairs.json"]

    def evaluation_inputs(self, stage: Stage) -> list[Path]:
        return [self.evaluation_dir(n) / "evaluation.json" for n, _ in self.tasks(stage)]

    def metrics_outputs(self, stage: Stage) -> list[str]:
        """The metrics files of one model, with Snakemake's wildcards {run} and {seed} in them."""
        return [str(self.metrics_file("{run}", "{seed}", *task)) for task in self.tasks(stage)]
