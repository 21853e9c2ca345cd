"""Files of weights in every layout that open_clip and its users write, and weights of another size."""

import json
import logging
import os

import open_clip
import pytest
import torch
from open_clip.factory import load_checkpoint
from safetensors.torch import load_file, save_file
from toys import RESNET, TEXT, VIT

from helip import encoders
from helip.cli import main
from helip.config import OpenClipEncoder
from helip.errors import HelipError
from helip.evaluation import model as evaluation
from helip.models.architecture import build
from helip.models.digests import weights_digest
from helip.models.interpolation import write
from helip.models.loading import create, open_start
from helip.models.reference import parse
from helip.models.weights import read

CONFIG = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT | {"vocab_size": 49408, "context_length": 77}}


@pytest.fixture(scope="module", autouse=True)
def architecture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    (folder / "toy_weights.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)


def model(seed=0, config=CONFIG):
    torch.manual_seed(seed)
    return build(config).eval()


def folder_of(path, weights, config=CONFIG):
    path.mkdir()
    save_file(weights, path / "open_clip_model.safetensors")
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return path


def prefixed(state, prefix):
    return {f"{prefix}{name}": w for name, w in state.items()}


LAYOUTS = {
    "plain": lambda state: state,
    "open_clip_train": lambda state: {"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"state": {}, "param_groups": []}},
    "data parallel": lambda state: {"epoch": 3, "state_dict": prefixed(state, "module.")},
    "compiled, data parallel": lambda state: {"state_dict": prefixed(state, "module._orig_mod.")},
    "averaged by torch": lambda state: {"state_dict": prefixed(state, "module.") | {"n_averaged": torch.tensor(7)}},
    "lightning": lambda state: {"state_dict": prefixed(state, "model.")},
    "under model": lambda state: {"model": prefixed(state, "module.")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_checkpoint_is_a_start(layout, tmp_path):
    state = model().state_dict()
    torch.save(LAYOUTS[layout](state), tmp_path / "own.pt")
    opened = open_start(f"toy_weights@{tmp_path / 'own.pt'}").model.state_dict()
    assert opened.keys() == state.keys()
    assert all(torch.equal(w, state[name]) for name, w in opened.items())


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_the_average_is_taken_and_a_line_says_so(key, tmp_path, caplog):
    state, average = model(0).state_dict(), model(1).state_dict()
    torch.save({"state_dict": state, key: prefixed(average, "module.")}, tmp_path / "own.pt")
    with caplog.at_level(logging.WARNING):
        opened = read(tmp_path / "own.pt")
    assert all(torch.equal(w, average[name]) for name, w in opened.items())
    assert f"own.pt: the averaged weights ({key}) are taken" in caplog.text


def test_safetensors_beside_an_architecture(tmp_path):
    state = model().state_dict()
    save_file(prefixed(state, "module."), tmp_path / "own.safetensors")
    opened = open_start(f"toy_weights@{tmp_path / 'own.safetensors'}").model.state_dict()
    assert all(torch.equal(w, state[name]) for name, w in opened.items())


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_file_that_runs_code_is_refused(tmp_path):
    torch.save({"state_dict": model().state_dict(), "args": Bomb(tmp_path / "exploded")}, tmp_path / "own.pt")
    with pytest.raises(HelipError, match=r"own\.pt: refused, it holds (posix|nt)\.system, .*saved as \.safetensors$"):
        open_start(f"toy_weights@{tmp_path / 'own.pt'}")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.filterwarnings("ignore")
def test_files_that_are_no_weights(tmp_path):
    path = tmp_path / "own.pt"
    torch.save({"epoch": 3}, path)
    with pytest.raises(HelipError, match=r"own\.pt: holds no weights, neither by themselves nor under state_dict_ema"):
        read(path)
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(HelipError, match=r"own\.pt: is a TorchScript archive, .*NAME@openai"):
        read(path)
    (tmp_path / "own.safetensors").write_bytes(b"short")
    with pytest.raises(HelipError, match=r"own\.safetensors: its weights do not load"):
        read(tmp_path / "own.safetensors")


# ---------------------------------------------------------------- logit scale


def test_a_logit_scale_of_one_entry_is_a_number(tmp_path):
    state = model(0).state_dict()
    start = folder_of(tmp_path / "start", state | {"logit_scale": state["logit_scale"].reshape(1)})
    assert open_start(start).model.logit_scale.shape == ()
    refined = folder_of(tmp_path / "refined", model(1).state_dict())
    write(str(start), refined, 0.25, tmp_path / "mixed")
    mixed = load_file(tmp_path / "mixed/open_clip_model.safetensors")
    assert mixed["logit_scale"].shape == ()
    other = load_file(refined / "open_clip_model.safetensors")
    assert torch.allclose(mixed["positional_embedding"], 0.75 * state["positional_embedding"] + 0.25 * other["positional_embedding"])


def test_the_other_way_round_too(tmp_path):
    config = CONFIG | {"nonscalar_logit_scale": True}
    start = folder_of(tmp_path / "start", model(0).state_dict(), config)
    assert open_start(start).model.logit_scale.shape == (1,)
    refined = folder_of(tmp_path / "refined", model(1, config).state_dict(), config)
    write(str(start), refined, 0.5, tmp_path / "mixed")
    assert load_file(tmp_path / "mixed/open_clip_model.safetensors")["logit_scale"].shape == (1,)


# ---------------------------------------------------------------- another size


def resized(**towers):
    return CONFIG | {side: CONFIG[side] | settings for side, settings in towers.items()}


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (resized(vision_cfg={"image_size": 64}), "visual.positional_embedding resized from 5 to 65 positions, as open_clip does"),
        (resized(text_cfg={"context_length": 40}), "positional_embedding resized from 77 to 40 positions, as open_clip does"),
    ],
    ids=["image size", "context length"],
)
def test_every_command_resizes_as_open_clip_does(config, line, tmp_path, caplog):
    folder = folder_of(tmp_path / "start", model().state_dict(), config)
    theirs = build(config)
    load_checkpoint(theirs, str(folder / "open_clip_model.safetensors"))
    right = theirs.state_dict()
    encoder = encoders.load(OpenClipEncoder(modality="text", model=str(folder)))  # encode, select
    assert encoder.weights == weights_digest(theirs)
    for opened in (open_start(folder).model, evaluation.load(str(folder), "cpu").network):  # refine; evaluate, probe
        assert all(torch.equal(w, right[name]) for name, w in opened.state_dict().items())
    refined = folder_of(tmp_path / "refined", right, config)
    write(str(folder), refined, 0.5, tmp_path / "mixed")  # interpolate
    mixed = load_file(tmp_path / "mixed/open_clip_model.safetensors")
    assert all(torch.allclose(w, right[name]) for name, w in mixed.items())
    assert caplog.text.count(f"{folder}: {line}") == 4


def test_a_timm_tower_of_another_size_is_refused(tmp_path):
    """open_clip gives a timm tower the size of its name, whatever image_size says, and would fail at the first image."""
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "timm_proj": "linear", "image_size": 64}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG | {"vision_cfg": vision}}))
    with pytest.raises(HelipError, match=r"image_size is 64 and timm's vit_tiny_patch16_224 takes 224: .* of that size"):
        create(parse(str(tmp_path)), weights=False)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (resized(vision_cfg={"patch_size": 4}), "visual.conv1.weight is 16x3x8x8 in the file and 16x3x4x4 in the model"),
        (resized(text_cfg={"vocab_size": 49409}), "token_embedding.weight is 49408x16 in the file and 49409x16 in the model"),
        (
            resized(text_cfg={"layers": 2}),
            "transformer.resblocks.1.ln_1.weight is absent in the file and 16 in the model, and 11 more differ",
        ),
        (CONFIG | {"vision_cfg": RESNET}, "visual.conv1.weight is 16x3x8x8 in the file and 2x3x3x3 in the model"),
    ],
    ids=["patch", "vocabulary", "depth", "tower"],
)
def test_every_command_names_tensor_and_shapes(config, sentence, tmp_path, capsys):
    folder = folder_of(tmp_path / "start", model().state_dict(), config)
    with pytest.raises(HelipError) as refusal:
        open_start(folder)
    assert str(refusal.value).startswith(f"{folder}: its weights do not load (")
    assert sentence in str(refusal.value)
    with pytest.raises(HelipError, match="its weights do not load"):
        evaluation.load(str(folder), "cpu")
    with pytest.raises(HelipError, match="its weights do not load"):
        encoders.load(OpenClipEncoder(modality="image", model=str(folder)))
    refined = folder_of(tmp_path / "refined", build(config).state_dict(), config)
    given = ["--start", str(folder), "--refined", str(refined), "--out", str(tmp_path / "out")]
    assert main(["interpolate", *given]) == 2
    assert sentence in capsys.readouterr().err


def test_a_resnet_of_another_size_is_refused(tmp_path):
    config = CONFIG | {"vision_cfg": RESNET}
    folder = folder_of(tmp_path / "start", model(0, config).state_dict(), CONFIG | {"vision_cfg": RESNET | {"image_size": 64}})
    with pytest.raises(HelipError, match=r"visual\.attnpool\.positional_embedding is 2x128 in the file and 5x128 in the model"):
        create(parse(str(folder)))


def test_a_sigmoid_trained_plain_architecture_keeps_its_bias(tmp_path):
    """open_clip_train --siglip adds a bias that the architecture's config does not have."""
    trained = model(0, CONFIG | {"init_logit_bias": -10.0, "init_logit_scale": 2.3})
    torch.save({"state_dict": prefixed(trained.state_dict(), "module.")}, tmp_path / "own.pt")
    opened = create(parse(f"toy_weights@{tmp_path / 'own.pt'}"))
    assert opened.model.logit_bias.item() == opened.config["init_logit_bias"] == -10.0


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 100.0])
def test_a_scale_without_exponential_is_refused(scale, tmp_path):
    folder = folder_of(tmp_path / "start", model().state_dict() | {"logit_scale": torch.tensor(scale)})
    with pytest.raises(HelipError, match=f"start: logit_scale is {scale:g}, and its exponential no multiplier"):
        create(parse(str(folder)))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_cfg": CONFIG | {"vision_cfg": VIT | {"image_size": -3}}}, "image_size is -3, and should be an integer above 0"),
        ({"model_cfg": CONFIG | {"text_cfg": TEXT | {"vocab_size": "many"}}}, "vocab_size is 'many', and should be"),
        ({"model_cfg": CONFIG | {"text_cfg": TEXT | {"heads": 3}}}, "the model's config is not open_clip's"),
        ({"preprocess_cfg": {"std": [0, 0, 0]}}, r"preprocess_cfg: std is \[0, 0, 0\], and should be three numbers above 0"),
        ({"preprocess_cfg": {"mean": "usual"}}, "preprocess_cfg: mean is 'usual', and should be three numbers"),
        ({"preprocess_cfg": []}, "preprocess_cfg is list, and should be a mapping"),
    ],
)
def test_a_config_of_nonsense_is_refused(config, sentence, tmp_path):
    folder = folder_of(tmp_path / "start", model().state_dict())
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}} | config))
    with pytest.raises(HelipError, match=sentence):
        create(parse(str(folder)))


def test_a_checkpoint_that_is_cut_is_said_to_be(tmp_path):
    torch.save({"state_dict": model().state_dict()}, tmp_path / "own.pt")
    (tmp_path / "own.pt").write_bytes((tmp_path / "own.pt").read_bytes()[:5000])
    with pytest.raises(HelipError, match=r"own\.pt: is (cut short, )?no whole PyTorch checkpoint"):
        read(tmp_path / "own.pt")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    state = model().state_dict()
    state["text_projection"][0, 0] = float("nan")
    folder = folder_of(tmp_path / "start", state)
    with pytest.raises(HelipError, match="start: text_projection holds NaN or infinity; its training diverged"):
        create(parse(str(folder)))
    refined = folder_of(tmp_path / "refined", model().state_dict())
    with pytest.raises(HelipError, match="text_projection holds NaN or infinity in the start or in the refined model"):
        write(str(folder), refined, 0.5, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
