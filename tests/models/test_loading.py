"""Models and tokenizers: built, exported, opened by open_clip; and what is refused."""

import json
import shutil

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from toys import RESNET, TEXT, VIT, ToyCorpus, declaration, job, recipe, refinement

from helip.config import Model
from helip.errors import HelipError
from helip.models import loading as models
from helip.models import tokenizer
from helip.training.distributed import DistributedContext
from helip.training.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A pre-trained toy in the layout of a study."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(job(folder, recipe()), DistributedContext()) == 0
    return folder / "model"


def test_open_clip_loads_an_export(trained):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{trained}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{trained}")
    ours = models.open_start(trained)
    corpus = ToyCorpus()
    captions = [corpus.caption(i) for i in range(5)]
    images = torch.stack([transform(corpus.image(i)) for i in range(5)])
    assert images.shape == (5, 3, 16, 16)
    assert torch.equal(tokenize(captions), ours.tokenize(captions))
    for one in (model, ours.model):
        one.eval()
    assert torch.equal(model.encode_text(tokenize(captions)), ours.model.encode_text(ours.tokenize(captions)))
    assert torch.equal(model.encode_image(images), ours.model.encode_image(images))


def test_an_export_holds_what_is_declared(trained):
    assert {"open_clip_model.safetensors", "open_clip_config.json", "curve.csv", "train.json", "tokenizer.json"} <= {
        p.name for p in trained.iterdir()
    }
    metadata = json.loads((trained / "train.json").read_text())
    assert metadata["declaration"]["steps"] == metadata["steps"] == 8
    assert {"digest", "draws", "seed", "wall_clock_seconds", "host", "versions", "commit"} <= metadata.keys()
    header, *rows = (trained / "curve.csv").read_text().splitlines()
    assert header == "step,loss,clip,lr,logit_scale,samples_per_second"
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 9))


def test_a_refinement_keeps_the_tokenizer_of_its_start(trained, tmp_path):
    assert train(job(tmp_path, refinement(), clip=models.open_start(trained)), DistributedContext()) == 0
    assert (tmp_path / "model/tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()
    assert (tmp_path / "model/open_clip_config.json").read_text() == (trained / "open_clip_config.json").read_text()


def test_a_learnt_tokenizer(tmp_path):
    captions = [ToyCorpus(60).caption(i) for i in range(60)]
    size = tokenizer.learn(captions, 400, tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    assert tokenizer.learn(captions, 400, again) == size <= 400
    assert (again / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    encode = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=8)
    rows = encode(["a Red square", "a red  square", "é ü 漢字 🙂 never seen before at all", ""])
    assert torch.equal(rows[0], rows[1])  # case and spaces do not matter
    assert rows.shape == (4, 8)
    assert rows.max() == size - 1  # the end token is the highest id, also of a caption that is cut
    assert (rows.argmax(1) == (rows != 0).sum(1) - 1).all()
    assert rows[3].tolist() == [1, size - 1, 0, 0, 0, 0, 0, 0]


def test_a_tokenizer_left_by_an_earlier_start_is_used_again(tmp_path):
    first = models.new(declaration(), ToyCorpus(40), tmp_path / "tokenizer", 0)
    second = models.new(declaration(), ToyCorpus(80), tmp_path / "tokenizer", 0)
    assert first.config == second.config


@pytest.mark.parametrize("vision", [VIT, RESNET])
def test_the_seed_decides_the_weights(tmp_path, vision):
    made = [models.new(declaration(vision), ToyCorpus(), tmp_path, seed).model.state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(w, made[1][n]) for n, w in made[0].items())
    assert not torch.equal(made[0]["token_embedding.weight"], made[2]["token_embedding.weight"])


TIMM = {"image_size": 32, "timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear"}


@pytest.mark.parametrize("vision", [RESNET, VIT, TIMM])
def test_only_weights_that_are_loaded_are_left_undrawn(tmp_path, vision):
    config = declaration(vision).config | {"text_cfg": TEXT | {"vocab_size": 49408}, "custom_text": vision is TIMM}
    given = models.build(config).state_dict()
    save_file(given, tmp_path / models.WEIGHTS)
    (tmp_path / models.CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    reference = models.ModelRef(f"local-dir:{tmp_path}")
    torch.use_deterministic_algorithms(True)  # new memory that nobody wrote to then holds NaN
    try:
        opened, drawn = models.create(reference).model, models.create(reference, weights=False).model
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(w, given[name]) for name, w in opened.state_dict().items())
    assert not any(w.isnan().any() for model in (opened, drawn) for w in (*model.parameters(), *model.state_dict().values()))
    assert not all(torch.equal(w, given[name]) for name, w in drawn.state_dict().items())


def test_timm_towers_are_built_without_a_network(tmp_path):
    config = declaration({"image_size": 32, "timm_model_name": "resnet10t", "timm_pool": "", "timm_proj": "linear"}).config
    config["vision_cfg"]["timm_pool"] = "avg"
    clip = models.new(Model(config=config, tokenizer="corpus", vocabulary=300), ToyCorpus(side=32), tmp_path, 0)
    assert clip.model.encode_image(torch.zeros(2, 3, 32, 32)).shape == (2, 16)


def test_tokenizer_and_context_length_must_agree():
    with pytest.raises(HelipError, match="makes 77 tokens and text_cfg.context_length is 16"):
        tokenizer.check(open_clip.SimpleTokenizer(), {"context_length": 16}, "here")
    with pytest.raises(HelipError, match="has id 49407 beyond text_cfg.vocab_size 1000"):
        tokenizer.check(open_clip.SimpleTokenizer(), {"vocab_size": 1000}, "here")
    with pytest.raises(HelipError, match="vocab_size is 49409 and CLIP's tokenizer, .* has 49408 words"):  # a DeCLIP's
        tokenizer.check(open_clip.SimpleTokenizer(), {"vocab_size": 49409}, "here")
    tokenizer.check(open_clip.SimpleTokenizer(), {}, "here")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vision_cfg": {}, "text_cfg": {}}, "config has no embed_dim"),
        ({"embed_dim": 8, "vision_cfg": {"depth": 3}, "text_cfg": {}}, "config is not open_clip's.*depth"),
    ],
)
def test_a_config_that_is_not_open_clips_is_refused(tmp_path, config, words):
    with pytest.raises(HelipError, match=words):
        models.new(Model(config=config), ToyCorpus(), tmp_path, 0)


def test_a_start_by_open_clips_name(tmp_path):
    config = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT | {"vocab_size": 49408, "context_length": 77}}
    (tmp_path / "toy_by_name.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    weights = models.build(config).state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    clip = models.open_start(f"toy_by_name@{tmp_path / 'weights.pt'}")
    assert all(torch.equal(w, weights[name]) for name, w in clip.model.state_dict().items())
    assert clip.tokenize(["a cat"]).shape == (1, 77)
    assert clip.image_size == (16, 16)


@pytest.mark.parametrize("name", ["no-such-model", "ViT-B-32", "ViT-B-32@no_such_weights"])
def test_a_start_that_is_not_there_is_refused(name):
    with pytest.raises(HelipError, match=name.partition("@")[0]):
        models.open_start(name)


@pytest.mark.parametrize("start", ["mine/modle", "local-dir:nope", "local-dir:/nope", "slip_base_cc3m.pt", "mine/modle:x"])
def test_a_path_that_is_not_there_is_called_a_path(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HelipError, match=f"^{start.removeprefix('local-dir:')}: is not there; give an open_clip folder"):
        models.open_start(start)


def test_a_published_file_is_to_be_imported_first(tmp_path):
    (tmp_path / "slip_base_cc3m.pt").touch()
    for start in (tmp_path / "slip_base_cc3m.pt", f"local-dir:{tmp_path}/slip_base_cc3m.pt"):
        with pytest.raises(HelipError, match=r"slip_base_cc3m\.pt: is a file, not a model folder; .* `helip import`"):
            models.open_start(start)


def test_broken_starts_are_refused(trained, tmp_path):
    for broken in ("weights", "config", "no_weights", "no_vision", "a_list"):
        shutil.copytree(trained, tmp_path / broken)
    (tmp_path / "weights" / models.WEIGHTS).write_bytes((trained / models.WEIGHTS).read_bytes()[:1000])
    (tmp_path / "config" / models.CONFIG).write_text("{}")
    (tmp_path / "no_weights" / models.WEIGHTS).unlink()
    (tmp_path / "no_vision" / models.CONFIG).write_text('{"model_cfg": {"embed_dim": 8, "text_cfg": {}}}')
    (tmp_path / "a_list" / models.CONFIG).write_text("[]")
    refused = {"weights": "do not load", "config": "has no model_cfg", "no_weights": "has no open_clip_model"}
    refused |= {"no_vision": "open_clip_config.json: model_cfg has no vision_cfg", "a_list": "holds list and no mapping"}
    for broken, words in refused.items():
        with pytest.raises(HelipError, match=words):
            models.open_start(tmp_path / broken)
    with pytest.raises(HelipError, match="not found; train it first"):
        models.existing(tmp_path / "no_weights")


def test_encoders_and_evaluation_open_what_training_refines(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "renamed")
    (tmp_path / "renamed" / models.WEIGHTS).rename(tmp_path / "renamed/model.safetensors")  # as Hugging Face names it
    start = models.open_start(trained)
    for folder in (trained, tmp_path / "renamed"):
        opened = models.create(models.ModelRef(f"local-dir:{folder}"))
        assert type(opened.model) is type(start.model) is models.ShortCaptionClip
        assert opened.preprocess == start.preprocess
        assert all(torch.equal(w, opened.model.state_dict()[name]) for name, w in start.model.state_dict().items())
    size = models.create(models.ModelRef(f"local-dir:{trained}")).transform()(Image.new("RGB", (50, 40))).shape[1:]
    assert tuple(size) == start.image_size


def test_a_captioning_model_encodes_and_is_no_start(tmp_path):
    decoder = {"context_length": 76, "width": 16, "heads": 2, "layers": 1}
    text = TEXT | {"vocab_size": 49408, "context_length": 76, "embed_cls": True, "output_tokens": True}
    config = {"embed_dim": 16, "custom_text": True, "multimodal_cfg": decoder, "text_cfg": text}
    config["vision_cfg"] = VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    save_file(models.build(config).state_dict(), tmp_path / models.WEIGHTS)
    (tmp_path / models.CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    assert isinstance(models.create(models.ModelRef(f"local-dir:{tmp_path}")).model, open_clip.CoCa)
    with pytest.raises(HelipError, match="is a CoCa, .*: start from a CLIP"):
        models.open_start(tmp_path)
