"""The study that `helip refine` writes: one start, its arms, and the sets that they are compared on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helip.config import EarlyStopping
from helip.data.locations import BETWEEN
from helip.errors import HelipError
from helip.own.arms import ARMS, check_arms, mining_of, suited, warmup_of
from helip.own.sources import amount_of, corpus_of, evaluation_sets
from helip.own.start import StartFacts
from helip.training.sampler import held_out_count

# The start is fetched, so these are never used; a run has an objective or a start.
IMPORTED = {"epochs": 1, "batch_size": 2, "learning_rate": 1.0, "augmentation": {"crop_scale": [1.0, 1.0]}}


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, apart from how it is run."""

    model: str
    data: str
    arms: tuple[str, ...]
    seeds: int = 1
    corpus: dict[str, Any] = field(default_factory=dict)  # fields of the corpus' declaration
    select: dict[str, Any] = field(default_factory=dict)  # fields of the selection
    mine: dict[str, Any] = field(default_factory=dict)  # fields of the mining
    refinement: dict[str, Any] = field(default_factory=dict)  # fields of the recipe
    image_encoder: str | None = None  # of mining; None: the start's own tower
    text_encoder: str | None = None
    held_out: float = 0.1
    evaluate: tuple[str, ...] = ()
    retention: str | None = None
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What the jobs may use."""

    cores: int
    gpus: int
    memory_mb: int = 8000

    @property
    def device(self) -> str:
        """The kind of device that trainings run on."""
        return "cuda" if self.gpus else "cpu"


def declare(request: Request, start: StartFacts, machine: Machine) -> dict[str, Any]:
    """Returns the study as the YAML file holds it. Raises HelipError for data, sets or arms that are not there."""
    whole = corpus_of(request.data, request.corpus)
    pairs = round(amount_of(whole).images * (1 - 2 * request.held_out))
    arms = check_arms(request.arms)
    models, trunks = _model(start, request)
    mining = {**mining_of(pairs), "image_encoder": "mining_image", "text_encoder": "mining_text", **request.mine}
    _check_sizes(request.refinement, mining["k"], pairs)
    sets = evaluation_sets((*request.evaluate, *([request.retention] if request.retention else [])), "--evaluate or --retention")
    return {
        "question": f"What do selection and hard pairs add to {_short(request.model)} on {_short(name_of(request.data))}?",
        "seeds": [0],
        "corpora": {"whole": whole, "train": {"kind": "train_part", "of": "whole", "held_out": request.held_out}},
        "models": {"clip": models},
        "encoders": {**trunks, **_encoders(request)},
        "pretraining": {"imported": IMPORTED},
        "refinement": _merged(suited(start, pairs, machine.device, bool(request.freeze)), request.refinement, pairs),
        "mining": mining,
        "selection": {"score": "s_clip_loss", "keep": 0.9, **request.select},
        "evaluation": {
            "test": {"kind": "held_out", "of": "train", "part": "test"},
            "validation": {"kind": "held_out", "of": "train", "part": "validation"},
            **sets,
        },
        "runs": _runs(arms, request.seeds),
        "published": {"start": {"model": request.model, **({"sha256": start.sha256} if start.sha256 else {})}},
        "resources": _resources(machine, machine.cores if start.is_large else max(1, machine.cores // 2)),
    }


def name_of(data: str) -> str:
    """Returns what messages call the data: its path, or the first of several and how many more there are."""
    first, *more = data.split(BETWEEN)
    return f"{first} and {len(more)} more" if more else first


def _short(place: str) -> str:
    """The end of a path, or a name as it is."""
    path = Path(place.removeprefix("local-dir:"))
    return "/".join(path.parts[-2:]) if path.is_absolute() else place


def _check_sizes(given: dict[str, Any], k: int, pairs: int) -> None:
    """Refuses more hard pairs than are mined for a pair, and a validation of less than two pairs. given: fields of the recipe."""
    if given.get("p", 1) > k:
        raise HelipError(f"--p {given['p']}: a pair has {k} hard pairs at most (mining: k, for about {pairs} pairs of training); lower it")
    stopping = EarlyStopping.model_validate(given["early_stopping"]) if given.get("early_stopping") else None
    if stopping and stopping.corpus is None:
        held_out_count(pairs, stopping.held_out)


def _merged(usual: dict[str, Any], given: dict[str, Any], pairs: int) -> dict[str, Any]:
    """Given options over the usual ones; a length that is given replaces the usual one, and the warm-up suits what comes of both.

    HelipError for a warm-up that is given and is not shorter than the training.
    """
    masked = (given.get("objective") or {}).get("name", "clip") in ("clip", "slip", "cyclip")
    usual = usual | {"duplicates": "mask" if masked else "separate"}  # equal images and captions are no negatives of each other
    if "steps" in given:
        usual = {name: value for name, value in usual.items() if name != "epochs"}
    merged = usual | given
    steps = merged.get("steps") or max(1, round(merged["epochs"] * pairs / merged["batch_size"]))
    if given.get("warmup_steps", 0) >= steps:
        raise HelipError(f"--warmup-steps {given['warmup_steps']}: all of a training is about {steps} steps; lower it or train longer")
    return {"warmup_steps": warmup_of(steps), **merged}


def _model(start: StartFacts, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the model's declaration, the encoders that it names)."""
    if request.freeze and not start.is_frozen:
        towers = {f"trunk_{side}": {"library": "open_clip", "modality": side, "model": request.model} for side in ("image", "text")}
        return {"image_trunk": "trunk_image", "text_trunk": "trunk_text", "head": "residual", **_sizes(start.config["embed_dim"])}, towers
    if not start.is_frozen:
        return {"config": start.config}, {}
    parts = start.config["frozen"]
    heads = {
        "head": parts.get("head", "mlp"),
        "embed_dim": start.config["embed_dim"],
        "hidden": parts["hidden"],
        "dropout": parts["dropout"],
        "views": 2,
        **{name: parts[name] for name in ("unfrozen_blocks", "context_length") if name in parts},
    }
    trunks = {f"trunk_{side}": parts[f"{side}_trunk"]["encoder"] for side in ("image", "text")}
    return {"image_trunk": "trunk_image", "text_trunk": "trunk_text", **heads}, trunks


def _sizes(embed_dim: int) -> dict[str, Any]:
    return {"embed_dim": embed_dim, "hidden": 2 * embed_dim, "dropout": 0.1, "views": 2}


def _encoders(request: Request) -> dict[str, dict[str, Any]]:
    from helip.encoders import parse

    encoders = {}
    for modality, named in (("image", request.image_encoder), ("text", request.text_encoder)):
        towers = {"library": "run", "modality": modality, "run": "start", "centre": True}
        encoders[f"mining_{modality}"] = {**parse(named).model_dump(mode="json"), "centre": True} if named else towers
    return encoders


def _runs(arms: tuple[str, ...], seeds: int) -> dict[str, Any]:
    runs: dict[str, Any] = {"start": {"corpus": "train", "model": "clip", "objective": "imported", "seeds": [0]}}
    for arm in arms:
        what, run = ARMS[arm]
        runs[arm] = {"start": "start", "question": f"What does {what} give?", **run, **({"repeats": seeds} if seeds > 1 else {})}
    for arm in arms:
        runs[f"{arm}_mixed"] = {"interpolate": {"run": arm, "validation": "validation"}}
    return runs


def _resources(machine: Machine, threads: int) -> dict[str, Any]:
    """Of a large model each job takes all cores; jobs of a small one run two at a time, since most of their time is their beginning."""
    usual = {"threads": threads, "mem_mb": machine.memory_mb, "runtime": 720}
    on_gpu = usual | ({"gpu": machine.gpus} if machine.gpus else {})
    heavy = ("encode", "encode_views", "mine", "select", "train", "sweep", "evaluate")
    return {"corpus": usual, "fingerprint": usual, **dict.fromkeys(heavy, on_gpu)}
