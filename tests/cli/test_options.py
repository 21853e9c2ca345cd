"""Options come from the models: what the help page says of them, how they are read, and how a wrong one is refused."""

from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import Field

from helip.cli import COMMANDS, _class, main
from helip.cli.command import ARGUMENT, Command, OptionsOf, Shard, groups_of, parse, parser_of
from helip.config import ConfigModel, GeneratedCorpus, LemonSettings, MiningSpec, Refinement, Selection, ShardCorpus, TableCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError
from helip.gpus import loader_workers, torch_device

FROM_MODELS = [
    ("mine", MiningSpec, set(), {}),
    ("select", Selection, {"weights", "lemon", "image_encoder", "text_encoder"}, {"batch_size": "random_batch_size"}),  # --target: a folder
    ("train", Refinement, {"objective", "augmentation", "early_stopping", "retention", "false_negatives"}, {}),
    ("corpus", TableCorpus, {"kind", "label", "path"}, {}),
    ("corpus", ShardCorpus, {"kind", "label", "path", "obtain", "captions"}, {}),  # captions: an option of its own, detected
]


def page(command: str, capsys) -> str:
    assert main([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("command", "model", "left_out", "spelled"), FROM_MODELS)
def test_the_help_page_has_every_field_of_the_model(command, model, left_out, spelled, capsys):
    text = " ".join(page(command, capsys).split()).replace("- ", "-")
    for name, field in model.model_fields.items():
        if name in left_out:
            continue
        flag = f"--{spelled.get(name, name).replace('_', '-')}"
        assert f" {flag} " in text or f" {flag}, " in text, name
        assert field.description.replace("- ", "-") in text, name
        if get_origin(field.annotation) is Literal:
            assert f"{flag} {{{','.join(get_args(field.annotation))}}}" in text
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert f"default: {field.default})" in text.partition(f" {flag} ")[2].partition(" --")[0]


def test_nested_models_are_options_with_a_prefix(capsys):
    text = page("train", capsys)
    selection = page("select", capsys).replace("_", "-")
    assert all(f"  --lemon-{field}".replace("_", "-") in selection for field in LemonSettings.model_fields)
    for name in ("augmentation", "early_stopping", "retention", "false_negatives"):
        annotation = Refinement.model_fields[name].annotation
        inner = next(a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, ConfigModel))
        for field in inner.model_fields:
            assert f"  --{name}_{field}".replace("_", "-") in text.replace("_", "-")
    assert "  --objective {clip,slip,declip,cyclip,cloob,hn_nce,siglip}" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_one_sentence(command):
    for options in groups_of(_class(command)).values():
        for option in options:
            assert option.description, option.name
            assert option.choices or option.metavar or option.kind is bool, option.name


class Inner(ConfigModel):
    every: int = Field(gt=0, description="steps")
    share: float = Field(0.5, description="a share")


class Spec(ConfigModel):
    """A sentence. And another."""

    size: int | None = Field(3, gt=0, description="pairs")
    switch: bool = Field(True, description="a switch")
    two: tuple[float, float] = Field((0.5, 1.0), description="two numbers")
    inner: Inner | None = Field(None, description="more")


class Toy(Command):
    """A command."""

    files: Annotated[tuple[str, ...], ARGUMENT] = Field(description="files")
    loud: bool = Field(False, description="say more")
    shard: Shard = Field((0, 1), description="part i of n")
    spec: Annotated[dict[str, Any], OptionsOf(Spec, spelled={"size": "how_many"})] = {}

    def run(self) -> None:
        """Does nothing."""


def read(line: str) -> Toy:
    return parse("toy", "a toy", Toy, line.split())


def test_a_new_field_of_a_model_is_an_option_at_once():
    text = " ".join(parser_of("toy", "a toy", Toy).format_help().split())
    assert text.startswith("usage: helip toy FILES ... [options] A toy. A command. ")
    assert "Spec: a sentence: " in text
    for line in (
        "--how-many INT pairs (above 0; default: 3)",
        "--switch, --no-switch a switch (default: on)",
        "--two FLOAT FLOAT two numbers (default: 0.5 1.0)",
        "--inner-every INT steps (above 0; required with --inner-...)",
        "--inner-share FLOAT a share (default: 0.5)",
        "--shard I/N part i of n (default: 0/1)",
    ):
        assert f" {line}" in text


def test_only_what_is_given_is_read():
    assert read("a b") == Toy(files=("a", "b"))
    given = read("a --how-many none --no-switch --two 1 2 --inner-every 4 --loud --shard 1/4")
    assert given.spec == {"size": None, "switch": False, "two": ["1", "2"], "inner": {"every": "4"}}
    assert (given.files, given.loud, given.shard) == (("a",), True, (1, 4))
    assert read("--loud a").files == ("a",)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("mine --out x --workers -1", "--workers: Input should be greater than or equal to 1"),
        ("mine --out x --image-features y --k three", "--k: Input should be a valid integer, unable to parse string as an integer"),
        ("mine --out x --image-features y --tau 2", "--tau: Input should be less than or equal to 1"),
        ("mine --out x --image-features y --tau-text 2", "--tau-text: Input should be less than or equal to 1"),
        ("mine --out x --image-features y --tau 0.3 --tau-text 0.2", "--tau-text: beside --tau, which says it too; give one"),
        ("mine --out x --image-features y --tau 0.3 --no-tau", "--tau: beside --no-tau, which says it too; give one"),
        ("mine --out x --image-features y --pool 3", "--pool: pool belongs to method fast_hpm, and fast_hpm needs a pool"),
        ("encode --corpus x --encoder y --out z --batch-size 0", "--batch-size: Input should be greater than or equal to 1"),
        ("encode --corpus x --encoder y --out z --dtype float8", "--dtype: 'float8' is none of float16, float32; did you mean 'float32'?"),
        ("select --corpus x --out z --random-batch-size 1", "--random-batch-size: Input should be greater than 1"),
        (
            "select --corpus x --out z --score ridge",
            "--image-features and --text-features are missing: score ridge compares both; make them with `helip encode`, once for images "
            "and once for captions",
        ),
        ("select --corpus x --out z --shard 1/x", "--shard: '1/x' is not of the form i/n, for example 0/4"),
        ("interpolate --start x --refined y --out z --weight 1.5", "--weight: Input should be less than or equal to 1"),
        ("train --corpus x --model y --out z --seed -1", "--seed: Input should be greater than or equal to 0"),
        ("train --corpus x --model y --out z --retention-every 0", "--batch-size: is missing"),
        (
            "train --corpus x --model y --out z --batch-size 8 --steps 1 --learning-rate 1 --retention-every 3",
            "--retention-set: is missing",
        ),
        ("mine --out x --image-features y --text-features z --seed 3", "--seed: has no effect on method hpm; leave it out"),
        (
            "mine --out x --image-features y --text-features z --ivf-probes 3",
            "--ivf-probes: has no effect on method hpm without --ivf-candidates; leave it out",
        ),
        (
            "mine --out x --corpus c --method random --max-similarity 0.9",
            "--max-similarity: has no effect on method random; leave it out",
        ),
        (
            "mine --out x --image-features y --text-features z --method image",
            "--text-features: method image compares no text features; leave it out",
        ),
        (
            "mine --out x --image-features y --method image --tau-text 0.2",
            "--tau-text: method image compares no text features; leave it out",
        ),
        ("mine --out x --corpus c --method random --tau 0.2", "--tau: method random compares no features; leave it out"),
        ("select --corpus x --out z --k 3", "--k: belongs to score agreement and ridge, and has no effect on s_clip_loss; leave it out"),
        (
            "select --corpus x --out z --random-batch-size 64 --score clip_score",
            "--random-batch-size: belongs to score s_clip_loss, and has no effect on clip_score; leave it out",
        ),
        (
            "select --corpus x --out z --model m --memory 1GB",
            "--memory: belongs to score agreement, ridge, lemon, and has no effect on s_clip_loss; leave it out",
        ),
        ("select --corpus x --out z --column s.npy --model y", "--model: score column looks at no model; leave it out"),
        (
            "train --corpus x --model y --out z --batch-size 8 --steps 1 --learning-rate 1 --freeze-image 1 --freeze-text 1",
            "--freeze-image: freeze_image and freeze_text are both 1: nothing is left to train",
        ),
        (
            "train --corpus x --model y --out z --batch-size 8 --steps 1 --learning-rate 1 --early-stopping-every 1 "
            "--early-stopping-corpus c --early-stopping-held-out 0.2",
            "--early-stopping-held-out: has no effect beside --early-stopping-corpus, which is validated on in its place; leave it out",
        ),
        ("export-data x --for open_clip --negatives 3 --out z", "--negatives: --for open_clip takes no hard captions; leave it out"),
        ("push x mine", "REPOSITORY: 'mine' is not of the form ORG/NAME, as in my-name/my-clip"),
        (
            "refine --model x --data y --out z --arms control helip --keep 0.5",
            "--keep: has an effect on arms selected, selected_helip alone; add one to --arms, or leave it out",
        ),
        (
            "refine --model x --data y --out z --arms control selected --gamma 2",
            "--gamma: has an effect on arms helip, selected_helip alone; add one to --arms, or leave it out",
        ),
        (
            "refine --model x --data y --out z --arms control selected --text-encoder timm:x",
            "--text-encoder: has an effect on arms helip, cleaned, selected_helip alone; add one to --arms, or leave it out",
        ),
        (
            "refine --model x --data y --out z --minutes 5 --epochs 2",
            "--epochs: beside --minutes, which says how long a training is; give one",
        ),
        ("corpus --data a.tar --data b.tar --out c", "--data: is given twice; give it once, with all its values behind it"),
        ("mine --out x --k 3 --k=4", "--k: is given twice; give it once"),
        ("train --corpus x --drop-noise --no-drop-noise", "--no-drop-noise: is given twice, once as --drop-noise; give it once"),
        ("corpus --data= --out c", "--data: is empty; leave it out, or set the variable that it comes from"),
        ("pack-set cab x --out y", "NAME: 'cab' is none of cub, sun397, caltech101; did you mean 'cub'?"),
    ],
)
def test_a_value_that_cannot_be_is_the_models_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    assert capsys.readouterr().err == f"helip {arguments.split()[0]}: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- devices and workers


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("train", "--corpus x --model x --out x --batch-size 8 --steps 1 --learning-rate 1"),
        ("encode", "--corpus CORPUS --encoder timm:resnet18 --out x"),
        ("filter-pairs", "--corpus x --pairs x --model x --out x"),
        ("select", "--corpus CORPUS --model x --out x"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(command, more, tmp_path, monkeypatch, capsys):
    build_corpus(GeneratedCorpus(size=4), tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert main([command, *more.replace("CORPUS", "corpus").split(), "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error == f"helip {command}: --device cuda: torch sees 0 GPUs here; leave --device out, or run where there are more\n"


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [torch_device(asked) for asked in (None, "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    for asked, says in {"cuda:2": "torch sees 2 GPUs", "cuba": "none that torch knows"}.items():
        with pytest.raises(HelipError, match=f"--device {asked}: {says}"):
            torch_device(asked)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert torch_device(None) == "cpu"


def test_workers_beside_a_gpu_are_at_most_8(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert [loader_workers(*asked) for asked in ((None, "cpu"), (None, "cuda:1"), (3, "cpu"), (0, "cuda"))] == [0, 8, 3, 0]
