"""`helip demo`: a small world of captioned pictures, a small CLIP of it, and `helip refine` on more of that world."""

from pathlib import Path

from helip.config import GeneratedCorpus, Model, TrainConfig
from helip.errors import HelipError
from helip.io import atomic_folder
from helip.models.layout import WEIGHTS
from helip.own.refine import Way, refine
from helip.own.sources import absolute
from helip.own.study import Machine, Request

PAIRS, START_PAIRS, WRONG = 1500, 2000, 0.15  # pairs of the demo, of its start, and the share whose caption is another picture's
KEEP = 1 - WRONG  # of the pairs, by selection
STEPS = 250  # of the start
ARCHITECTURE = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "head_width": 32, "layers": 2},
    "text_cfg": {"context_length": 32, "width": 64, "heads": 2, "layers": 2},
}


def demo(out: Path, cores: int) -> None:
    """Makes OUT/pairs (tars), OUT/start (a CLIP folder) and OUT/mine, where `helip refine` writes its answer.

    What is there already is not made again. The pairs and the start are drawn from one world, with other scenes and other noise.
    HelipError is raised for a folder that holds something else.
    """
    if out.is_dir() and any(out.glob("[!.]*")) and not (out / "pairs" / "manifest.json").is_file():
        raise HelipError(f"--out {out}: holds other files; name a folder that is not there, or one that `helip demo` made")
    pairs, start = make_pairs(out / "pairs", PAIRS, seed=1), make_start(out)
    print(f"the same as: helip refine --model {start} --data {pairs} --out {out / 'mine'} --keep {KEEP:g} --gpus 0", flush=True)
    request = Request(
        model=f"local-dir:{start.resolve()}",
        data=absolute(str(pairs)),
        arms=("control", "selected", "helip"),
        select={"score": "s_clip_loss", "keep": KEEP},
    )
    refine(request, Way(out / "mine", Machine(cores, 0)))


def make_pairs(folder: Path, size: int, seed: int) -> Path:
    """Renders a corpus into `folder` unless it is there, and returns the folder of its shards."""
    from helip.data.build import build_corpus

    if not (folder / "manifest.json").is_file():
        print(f"{folder}: rendering {size} pairs of a small world, {WRONG:.0%} of them with the caption of another picture", flush=True)
        build_corpus(GeneratedCorpus(size=size, mismatched=WRONG, seed=seed, samples_per_shard=500), folder)
    return folder / "shards"


def make_start(out: Path) -> Path:
    """Trains a small CLIP on other scenes of the same world unless it is there; returns its folder."""
    from helip.data.corpus import Corpus
    from helip.models import loading
    from helip.training.distributed import join, leave
    from helip.training.job import TrainJob
    from helip.training.loop import train

    start = out / "start"
    if (start / WEIGHTS).is_file():
        return start
    make_pairs(out / "other_pairs", START_PAIRS, seed=0)
    print(f"{start}: training a small CLIP on {START_PAIRS} other pairs, {STEPS} steps", flush=True)
    corpus = Corpus.open(out / "other_pairs")
    recipe = TrainConfig(steps=STEPS, batch_size=128, learning_rate=2e-3, warmup_steps=10, save_every=STEPS)
    declared = Model(config=ARCHITECTURE, tokenizer="corpus", vocabulary=512)
    with atomic_folder(out / "tokenizer") as place:
        clip = loading.new(declared, corpus, place / "words", seed=0)
    clip.tokenizer_folder = out / "tokenizer" / "words"
    job = TrainJob(recipe=recipe, clip=clip, corpus=corpus, seed=0, digest="demo", state_dir=out / "start.state", out=start, name="start")
    context = join("cpu")
    try:
        stopped = train(job, context)
    finally:
        leave()
    if stopped:
        raise KeyboardInterrupt  # its state is saved, and the same command goes on from it
    return start
