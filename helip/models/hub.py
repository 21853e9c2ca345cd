"""Models of the Hugging Face hub: where their files lie on this machine, and a folder sent there."""

from collections.abc import Iterable
from pathlib import Path

from helip.errors import HelipError
from helip.io import read_json
from helip.models.layout import CONFIG, METADATA, ONNX_CONFIG, ORIGIN, PREPROCESSOR, PROCESSOR, TOKENIZER, TRANSFORMERS_CONFIG
from helip.models.reference import HUB, ModelRef

MODELS = (CONFIG, TRANSFORMERS_CONFIG, ONNX_CONFIG)  # a file of each form
CLIP_MODEL_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in this order
PRIVATE = (METADATA, ORIGIN, "**/" + METADATA, "**/" + ORIGIN)  # they name the machine and its paths


def located(reference: ModelRef) -> ModelRef:
    """Returns the folder of a hub's repository that holds a CLIPModel and no config of open_clip; any other reference as it is."""
    if not reference.name.startswith(HUB):
        return reference
    repository = reference.name.removeprefix(HUB)
    if _first(repository, (CONFIG,)) or not (config := _first(repository, (TRANSFORMERS_CONFIG,))):
        return reference
    _first(repository, CLIP_MODEL_WEIGHTS)
    for name in (PREPROCESSOR, PROCESSOR, *TOKENIZER):
        _first(repository, (name,))
    return ModelRef(f"local-dir:{config.parent}")


def _first(repository: str, names: Iterable[str]) -> Path | None:
    """The first of these files that the repository has, fetched into the hub's cache; None where it has none or cannot be reached."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):  # not there, or no network and not in the cache
            continue
    return None


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in MODELS)


def _holds_models_alone(folder: Path) -> bool:
    """Whether a folder holds one model or more, and beside them nothing but what is said of them."""
    inner = [*folder.glob("*")]
    others = {path.name for path in inner if not _is_model(path)}
    return len(others) < len(inner) and others <= {METADATA, ORIGIN, "README.md"}


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Sends a model's folder to ORG/NAME, which is made where it is not there yet, and returns its address.

    train.json and import.json stay here: they name the machine and its paths. Raises HelipError for a folder that is neither a model nor
    models alone, as the whole of a refinement with its pairs is; for heads on frozen trunks, which name these by where they lie here; and
    where the hub refuses.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from helip.models.frozen import KEY, only_here  # it imports torch

    if not _is_model(folder) and not _holds_models_alone(folder):
        which = "OUT/best_model or OUT/exports of `helip refine`, or the folder of `helip export`"
        raise HelipError(f"{folder}: is no model ({', '.join(MODELS)}) and no folder of models alone; give {which}")
    for config in (folder / CONFIG, *sorted(folder.glob(f"*/{CONFIG}"))):
        if config.is_file() and KEY in read_json(config).get("model_cfg", {}):
            raise only_here(str(config.parent))
    hub = huggingface_hub.HfApi()
    try:
        url = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=list(PRIVATE), commit_message="Add the model")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        remedy = "log in with `hf auth login`, with a token that may write there"
        raise HelipError(f"{repository}: the hub did not take {folder} ({first}); {remedy}") from None
    return str(url)
