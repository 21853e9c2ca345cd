"""`helip train-encoder` and `helip encode`: features of a corpus, by a study's declarations or for a folder of your own."""

from pathlib import Path

from helip.cli.options import at_least, loader_workers, own_group

COMMANDS = {
    "train-encoder": "train a study's self-supervised image encoder on a corpus",
    "encode": "encode the images or captions of a corpus into a feature cache",
}


def add(name, parser):
    """Adds the options of the command `name` to its parser; returns what runs it."""
    parser.add_argument(
        "--study", required=name == "train-encoder", help="a study of experiments/studies; then CORPUS and ENCODER are its names"
    )
    parser.add_argument("names", nargs="*", metavar="CORPUS ENCODER")
    if name == "train-encoder":
        return _train_encoder
    own = own_group(parser, "data")
    own.add_argument("--corpus", type=Path, help="a corpus folder made by `helip corpus`")
    own.add_argument(
        "--encoder", help="timm:NAME, torchvision:NAME@TAG, sentence_transformers:NAME, open_clip-image:NAME@PRETRAINED, open_clip-text:..."
    )
    own.add_argument("--centre", action="store_true", help="subtract the corpus mean before normalising")
    own.add_argument("--out", type=Path, help="folder for features.npy and features.json")
    parser.add_argument("--batch-size", type=at_least(1), default=64)
    parser.add_argument("--workers", type=at_least(0), help="processes that decode images (default: none on a CPU, up to 8 for a GPU)")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16", help="of the stored features")
    return _encode


def _names(arguments) -> tuple[str, str]:
    from helip.errors import HelipError

    if len(arguments.names) != 2:
        raise HelipError("with --study, name one corpus and one encoder: helip encode --study S CORPUS ENCODER")
    return tuple(arguments.names)


def _train_encoder(arguments):
    from helip.config import SelfSupervisedEncoder
    from helip.data.corpus import Corpus
    from helip.encoders.simclr_training import train
    from helip.errors import HelipError
    from helip.study import load

    study, (corpus, encoder) = load(arguments.study), _names(arguments)
    study.encoder_digest(corpus, encoder)  # refuses unknown names
    declaration = study.declaration.encoders[encoder]
    if not isinstance(declaration, SelfSupervisedEncoder):
        raise HelipError(f"{study.file}: encoder '{encoder}' comes trained ({declaration.library}); only simclr encoders are trained here")
    train(declaration, Corpus.open(study.corpus_dir(corpus)), study.encoder_dir(corpus, encoder))


def _encode(arguments):
    import torch

    from helip import encoders
    from helip.data.corpus import Corpus
    from helip.encoders.cache import encode

    declaration, folder, trained, out, members = _of_study(arguments) if arguments.study else _of_user(arguments)
    corpus = Corpus.open(folder)
    if members:
        return _join(declaration, members, corpus, out)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    workers = loader_workers(arguments.workers, device)
    encoder = encoders.load(declaration, trained, device)
    encode(declaration, encoder, corpus, out, batch_size=arguments.batch_size, workers=workers, dtype=arguments.dtype)
    print(f"{out}: {len(corpus)} features of {encoder.dim} dimensions")


def _join(declaration, members, corpus, out):
    from helip.encoders.features import Features
    from helip.encoders.union import join

    rows = join(declaration, [Features.open(folder, digest) for folder, digest in members], corpus.digest, out)
    print(f"{out}: {rows} features of {len(members)} corpora")


def _of_study(arguments):
    from helip.data.corpus import Corpus
    from helip.study import load

    study, (corpus, encoder) = load(arguments.study), _names(arguments)
    study.features_digest(corpus, encoder)  # refuses unknown names
    folders = study.corpus_dir(corpus), study.encoder_dir(corpus, encoder), study.features_dir(corpus, encoder)
    joined = study.joined_corpora(corpus, encoder)
    members = [(study.features_dir(c, encoder), Corpus.open(study.corpus_dir(c)).digest) for c in joined]
    return study.declaration.encoders[encoder], *folders, members


def _of_user(arguments):
    from helip import encoders
    from helip.errors import HelipError
    from helip.io import check_replaceable

    if arguments.names or not (arguments.corpus and arguments.encoder and arguments.out):
        raise HelipError("give either --study S CORPUS ENCODER, or --corpus DIR --encoder LIBRARY:NAME --out DIR")
    declaration = encoders.parse(arguments.encoder)
    check_replaceable(arguments.out, "features.json", arguments.corpus, arguments.encoder)
    if arguments.centre:
        declaration = declaration.model_copy(update={"centre": True})
    return declaration, arguments.corpus, None, arguments.out, []
