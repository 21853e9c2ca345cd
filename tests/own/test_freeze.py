"""`--freeze image,text`: heads over the towers of a CLIP are that CLIP until they are trained."""

import torch
import toys

from helip import encoders
from helip.config import FrozenModel, OpenClipEncoder
from helip.models import export, loading
from helip.training.frozen import over_towers


def test_heads_over_towers_begin_as_the_clip_itself(tmp_path):
    corpus, start = toys.ToyCorpus(), tmp_path / "start"
    clip = loading.new(toys.declaration(), corpus, tmp_path / "tokenizer", seed=0)
    export.export(start, clip, clip.model.state_dict(), lambda path: path.write_text(""), {})
    named = f"local-dir:{start}"
    declared = [OpenClipEncoder(modality=side, model=named) for side in ("image", "text")]
    trunks = tuple((one, encoders.load(one)) for one in declared)
    model = FrozenModel(image_trunk="image", text_trunk="text", head="residual", embed_dim=16, hidden=8)
    over = over_towers(model, named, trunks)

    original = loading.create(loading.parse(named))
    images, captions = torch.stack([original.transform()(corpus.image(i)) for i in range(3)]), [corpus.caption(i) for i in range(3)]
    with torch.no_grad():
        expected_image = original.model.eval().encode_image(images)
        expected_text = original.model.encode_text(clip.tokenize(captions))
        torch.testing.assert_close(over.model.eval().encode_image(images), expected_image, rtol=0, atol=1e-5)
        torch.testing.assert_close(over.model.encode_text(over.tokenize(captions)), expected_text, rtol=0, atol=1e-5)
        assert over.model.logit_scale == original.model.logit_scale
        over.model.image_head.layers[3].bias += 1.0  # a trained head changes the features
        torch.testing.assert_close(over.model.encode_image(images), expected_image + 1.0, rtol=0, atol=1e-5)

    export.export(tmp_path / "heads", over, over.model.state_dict(), lambda path: path.write_text(""), {})
    again = loading.open_start(tmp_path / "heads")  # the folder says that its heads are residual
    with torch.no_grad():
        torch.testing.assert_close(again.model.eval().encode_image(images), expected_image + 1.0, rtol=0, atol=1e-5)
