"""`helip select`: which pairs of a corpus of one's own are worth training on."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from helip.cli.command import DECODERS, DEVICE, MODEL, Command, Model, OptionsOf, Shard, Threads, Workers, done
from helip.cli.data import STUDY
from helip.config import Selection
from helip.config.mining import BY_ENCODERS
from helip.config.reading import validate_options
from helip.errors import HelipError
from helip.io import check_replaceable

PRETRAINED = "write --model NAME@TAG"
NO_OPTIONS = ("target", "weights", "image_encoder", "text_encoder")
SPELLED = {"batch_size": "random_batch_size"}  # --batch-size is the encoder's


class Select(Command):
    """Features of the corpus lie in OUT.features beside the result: the same OUT with another score or share is not encoded again."""

    former = STUDY | {"--pretrained": PRETRAINED}

    corpus: Path = Field(description="a corpus folder made by `helip corpus`")
    model: Model | None = Field(None, description=f"the model you will refine: {MODEL}; not for agreement, ridge, column, truth")
    out: Path = Field(description="the folder to make, with keep.npy, scores.npy and selection.json")
    target: Path | None = Field(None, description=f"{Selection.model_fields['target'].description}: its folder, in CLIP benchmark's layout")
    batch_size: Threads = Field(64, description="samples encoded together")
    workers: Workers | None = Field(None, description=DECODERS)
    device: str | None = Field(None, description=DEVICE)
    memory: str = Field("2GiB", description="what agreement, ridge and lemon may allocate beside the interpreter, for example 500MB")
    shard: Shard = Field((0, 1), description="s_clip_loss, agreement: compute only part i of n of the random batches, or of the pairs")
    selection: Annotated[dict[str, Any], OptionsOf(Selection, omit=NO_OPTIONS, spelled=SPELLED)] = {}

    def run(self) -> None:
        """Selects, or computes one shard."""
        from helip.data.corpus import Corpus
        from helip.models.reference import parse
        from helip.selection.job import Job, run

        spec = self._spec()
        if spec.needs_model and not self.model:
            raise HelipError(f"--model is missing: score {spec.score} needs the model you will refine; write {MODEL}")
        if "memory" in self.model_fields_set and not set(BY_ENCODERS) & set(spec.scores):
            raise HelipError(
                f"--memory: belongs to score {', '.join(BY_ENCODERS)}, and has no effect on {', '.join(spec.scores)}; leave it out"
            )
        if self.model and not spec.asks_start:
            raise HelipError(f"--model: score {', '.join(spec.scores)} looks at no model; leave it out")
        reference = parse(self.model) if self.model else None
        places = (reference.folder, reference.file) if reference else ()
        read = (spec.column, self.target, spec.image_features, spec.text_features)
        check_replaceable(self.out, "selection.json", self.corpus, *places, *read)
        target = None
        if self.target:
            from helip.evaluation.sets import of_folder

            target = of_folder(self.target)
        if self.device and spec.score in ("column", "truth"):
            raise HelipError(f"--device: score {spec.score} computes on the CPU; leave it out")
        device, workers = "cpu", self.workers or 0
        if spec.score not in ("column", "truth"):  # those are read without torch
            from helip.gpus import loader_workers, torch_device

            device = torch_device(self.device)
            workers = loader_workers(self.workers, device)
        job = Job(
            spec=spec,
            corpus=Corpus.open(self.corpus),
            out=self.out,
            model=reference.name if reference else "",
            pretrained=reference.pretrained if reference else None,
            cache=self.out.parent / f"{self.out.name}.features",
            target=target,
            device=device,
            batch_size=self.batch_size,
            workers=workers,
            memory=self.memory,
        )
        self._say(run(job, self.shard, {}))

    def _spec(self) -> Selection:
        values = dict(self.selection)
        if "column" in values and "score" not in values:
            values["score"] = "column"
        if self.target:
            values["target"] = "target"  # a study has a name here; the set itself is opened from its folder
        if values.get("score") in ("agreement", "ridge") and not {"image_features", "text_features"} & values.keys():
            remedy = "make them with `helip encode`, once for images and once for captions"
            raise HelipError(f"--image-features and --text-features are missing: score {values['score']} compares both; {remedy}")
        spec: Selection = validate_options(Selection, values, nameless="score", spelled=SPELLED)
        for name in (name for name in spec.without_effect if name in self.selection):
            option = SPELLED.get(name, name).replace("_", "-")
            belongs = f"belongs to score {' and '.join(spec.without_effect[name])}, and has no effect on {', '.join(spec.scores)}"
            raise HelipError(f"--{option}: {belongs}; leave it out")
        return spec

    def _say(self, result: dict[str, Any] | None) -> None:
        if result is None:
            i, n = self.shard
            done(f"{self.out}: shard {i}/{n} is done", then="the other shards, then the same command without --shard, which joins them")
            return
        from helip.selection.job import summary

        done(
            f"{self.out}: {summary(result)}",
            then=f"helip train --arm control --keep {self.out}/keep.npy, or helip mine --keep {self.out}/keep.npy; --help says the rest",
        )
