"""A generated corpus of 48 pairs and an untrained CLIP of a few thousand parameters, as a folder that open_clip loads."""

import json

import pytest


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
    from helip.config import GeneratedCorpus
    from helip.data.build import build_corpus

    folder = tmp_path_factory.mktemp("corpora") / "small"
    build_corpus(GeneratedCorpus(size=48, image_size=32, mismatched=0.25, samples_per_shard=20), folder)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
    }
    model = open_clip.CLIP(**config)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    folder.mkdir()
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest", "size": 32}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def job(corpus_folder, model_folder, tmp_path):
    """job(score="s_clip_loss", ...) with the settings of a Selection."""
    from helip.config import Selection
    from helip.data.corpus import Corpus
    from helip.selection.job import Job

    def build(out="selection", target_set=None, **settings):
        places = {"out": tmp_path / out, "model": f"local-dir:{model_folder}", "cache": tmp_path / "features"}
        return Job(Selection(**settings), Corpus.open(corpus_folder), target=target_set, **places)

    return build
