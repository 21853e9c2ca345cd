"""Which scores find mismatched captions among photographs: AUC, and precision among the pairs that are dropped.

    python benchmarks/detection.py --features FOLDER --out results/detection

FOLDER holds what benchmarks/photographs.py made. A draw injects --share of mismatches: `foreign` captions permuted among each other, or
`near`, half of which are swapped with one of the 20 pairs whose captions are nearest. Choices (LEMoN's hyperparameters, the variants of
agreement) are made on validation draws; confirmation draws have other seeds and are reported. The model of CLIP score, s-CLIPLoss and
LEMoN's own space is two heads on frozen features, trained on the draw with its mismatches. What lies in OUT is not computed again;
OUT/detection.json holds it all.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _measuring import machine
from photographs import read, save_json

from helip.config import LemonSettings, MiningSpec
from helip.losses import clip_loss
from helip.mining import mine
from helip.selection.agreement import NeighbourTerms, combined, mean_cosine, neighbour_terms
from helip.selection.keep import detection
from helip.selection.lemon import Beside, LemonDistances, lemon_distances, own_distances, with_own
from helip.selection.lemon_tuning import KS, Draw, tune
from helip.selection.mixture import mixture
from helip.selection.neighbours import Neighbours, centred, of_same_pairs
from helip.selection.ridge import combined as combined_ridge
from helip.selection.ridge import ridge, ridge_terms
from helip.selection.scores import clip_score, s_clip_loss

KINDS, PARTS = ("foreign", "near"), ("validation", "tuned", "confirmation")
STEPS, BATCH, RATE, HIDDEN, WIDTH, DROPOUT = 360, 256, 1e-3, 512, 256, 0.3
AGREEMENT_KS, TAU, STRENGTHS = (5, 10, 40, 80), 5, (0.1, 0.3, 3.0)
NEAR = 20  # captions that a caption is swapped with one of
LABELLED = 2000  # pairs of a validation draw that LEMoN's hyperparameters are tuned on
WEIGHTS, EVALUATIONS = (0, 5, 10, 20, 40, 70, 100), 150  # LEMoN: a coarser grid than its authors', then short searches
SPACES = ("model", "encoders", "encoders_and_model")  # where LEMoN's distances are taken; the last takes d_i from the model


def injected(text_N5E: np.ndarray, kind: str, seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(mismatched [N], the photograph whose captions each pair has [N]). Captions are permuted: a caption that two pairs had would be
    found by that alone."""
    rng, N = np.random.default_rng([seed, KINDS.index(kind)]), len(text_N5E)
    source, places = np.arange(N), np.arange(N)
    if kind == "near":
        for i in rng.permutation(N):
            if (source != places).sum() >= share * N / 2:
                break
            cosines = text_N5E[:, 0] @ text_N5E[i, 0]
            cosines[i] = -2
            free = [j for j in np.argsort(-cosines)[:NEAR] if source[j] == j]
            if source[i] == i and free:
                j = rng.choice(free)
                source[[i, j]] = j, i
        share /= 2
    bad = np.flatnonzero((rng.random(N) < share) & (source == places))
    source[bad] = np.roll(rng.permutation(bad), 1)
    return source != places, source


def model_features(image: np.ndarray, mirrored: np.ndarray, captions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit features of image [N, 256] and first caption [N, 256] by trained heads, and the temperature."""
    torch.manual_seed(seed)
    draws, (mean, deviation) = torch.Generator().manual_seed(seed), (image.mean(0), image.std(0) + 1e-6)
    views = torch.from_numpy(np.stack([(x - mean) / deviation for x in (image, mirrored)]))
    texts = torch.from_numpy((captions - captions.mean((0, 1))) / (captions.std((0, 1)) + 1e-6))
    towers = torch.nn.ModuleList(
        torch.nn.Sequential(
            torch.nn.Linear(x.shape[-1], HIDDEN), torch.nn.GELU(), torch.nn.Dropout(DROPOUT), torch.nn.Linear(HIDDEN, WIDTH)
        )
        for x in (views, texts)
    )
    scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07)))
    optimizer = torch.optim.AdamW([*towers.parameters(), scale], lr=RATE, weight_decay=0.1, betas=(0.9, 0.98))
    unit, N = torch.nn.functional.normalize, len(image)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 10) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        ids = torch.randperm(N, generator=draws)[:BATCH]
        view, which = (torch.randint(0, n, (BATCH,), generator=draws) for n in (2, texts.shape[1]))
        loss = clip_loss(unit(towers[0](views[view, ids]), dim=1), unit(towers[1](texts[ids, which]), dim=1), scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            scale.clamp_(0, np.log(100))
    towers.eval()
    with torch.inference_mode():
        measured = [unit(tower(x), dim=1).numpy() for tower, x in zip(towers, (views[0], texts[:, 0]), strict=True)]
    return *measured, float(1 / scale.detach().exp())


def support(image: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The k-th score of hard pair mining with k 10, 0 for a pair with fewer positive products: what the paper's noise rule looks at."""
    pairs = mine(image, text, MiningSpec(k=10, tau_image=0, tau_text=0), workers=torch.get_num_threads())
    out = np.zeros(len(image), np.float32)
    out[~pairs.noise] = pairs.scores_flat.reshape(-1, 10)[:, -1]
    return out


def of_draw(features: tuple, kind: str, seed: int, share: float, variants: bool) -> tuple[dict, dict, np.ndarray]:
    """(scores by name, LEMoN's distances by space, mismatched)."""
    image, mirrored, text = features
    mismatched, source = injected(text, kind, seed, share)
    captions, plain = text[source], centred(image)
    caption = np.ascontiguousarray(captions[:, 0])
    model_image, model_text, temperature = model_features(image, mirrored, captions, seed)
    own, K = own_distances(model_image, model_text), max(KS)
    both = lemon_distances(plain, caption, K, own=own)
    distances = {"model": lemon_distances(model_image, model_text, K, own=own), "encoders": with_own(both, False), SPACES[2]: both}
    terms, regression = neighbour_terms(plain, caption), ridge_terms(plain, caption)
    out = {
        "support": support(plain, caption),
        "text_among_images": terms.text_among_images,
        "image_among_texts": terms.image_among_texts,
        "agreement": combined([terms], hubness=False),
        "agreement_hubness": combined([terms]),
        "ridge": combined_ridge([regression], hubness=False),
        "ridge_hubness": combined_ridge([regression]),
        "clip_score": clip_score(model_image, model_text),
        "s_clip_loss": s_clip_loss(model_image, model_text, temperature),
        "lemon_default_model": distances["model"].score(LemonSettings()),
        "lemon_default_encoders_and_model": both.score(LemonSettings()),
    }
    mixtures = [("clip_score", name) for name in ("agreement", "agreement_hubness", "ridge_hubness")]
    mixtures += [("s_clip_loss", "agreement"), ("s_clip_loss", "ridge_hubness"), ("agreement_hubness", "ridge_hubness")]
    mixtures += [("s_clip_loss", "agreement_hubness", "ridge_hubness")]
    out |= {" + ".join(names): mixture(out, dict.fromkeys(names, 1)) for names in mixtures}
    if variants:
        out |= variants_of(image, plain, caption, out)
    return out, distances, mismatched


def variants_of(image: np.ndarray, plain: np.ndarray, caption: np.ndarray, scores: dict) -> dict[str, np.ndarray]:
    """What else was tried; only validation draws see it."""
    out, widest = {}, neighbour_terms(plain, caption, max(AGREEMENT_KS))
    nearer = {k: (first(widest.images, k), first(widest.texts, k)) for k in (*AGREEMENT_KS, 20)}
    for k in AGREEMENT_KS:
        out |= both(f"agreement{{}}, k {k}", from_neighbours(plain, caption, *nearer[k]))
    out |= both("agreement{}, mutual neighbours", from_neighbours(plain, caption, *map(mutual, nearer[20])))
    out |= both("agreement{}, text centred", neighbour_terms(plain, centred(caption)))
    out |= both("agreement{}, image not centred", neighbour_terms(image, caption))
    likely = scores["agreement_hubness"] >= np.quantile(scores["agreement_hubness"], 0.15)
    terms = from_neighbours(plain, caption, among(plain, likely), among(caption, likely))
    out |= both("agreement{}, again after removal by agreement_hubness", terms)
    distances = lemon_distances(plain, caption, 20)
    near = [(np.exp(-TAU * b.near), b.other) for b in (distances.images, distances.texts)]
    parts = {str(n): -(w * d).sum(1) / w.sum(1) for n, (w, d) in enumerate(near)}
    out[f"agreement, weighted by exp(-{TAU} distance)"] = mixture(parts, {"0": 1, "1": 1})
    return out | {f"ridge_hubness, strength {s:g}": ridge(plain, caption, strength=s) for s in STRENGTHS}


def both(name: str, terms: NeighbourTerms) -> dict[str, np.ndarray]:
    return {name.format("_hubness" if hubness else ""): combined([terms], hubness) for hubness in (False, True)}


def first(near: Neighbours, k: int) -> Neighbours:
    return Neighbours(near.ids[:, :k], near.cosines[:, :k])


def mutual(near: Neighbours) -> Neighbours:
    """Neighbours that are each other's, repeated up to k; a pair that has none keeps all of its own."""
    known, k = [set(ids) for ids in near.ids.tolist()], near.ids.shape[1]
    ids = [[j for j in row if i in known[j]] or row for i, row in enumerate(near.ids.tolist())]
    return replace(near, ids=np.array([(row * k)[:k] for row in ids], np.int32))


def among(x: np.ndarray, kept: np.ndarray, k: int = 20) -> Neighbours:
    """Neighbours among the pairs that a first score keeps."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -2)
    cosines[:, ~kept] = -2
    ids = np.argpartition(-cosines, k, 1)[:, :k].astype(np.int32)
    return Neighbours(ids, np.take_along_axis(cosines, ids, 1))


def from_neighbours(image: np.ndarray, text: np.ndarray, images: Neighbours, texts: Neighbours) -> NeighbourTerms:
    of_image, of_text = of_same_pairs(image, text)
    return NeighbourTerms(mean_cosine(of_text, images), mean_cosine(of_image, texts), images, texts)


def labelled_part(distances: LemonDistances, mismatched: np.ndarray, seed: int) -> Draw:
    """The pairs of a validation draw that are labelled."""
    rows = np.random.default_rng(seed).choice(len(mismatched), LABELLED, replace=False)

    def cut(beside: Beside) -> Beside:
        return Beside(beside.near[rows], beside.other[rows], None if beside.own is None else beside.own[rows])

    own = None if distances.own is None else distances.own[rows]
    return Draw(LemonDistances(own, cut(distances.images), cut(distances.texts)), mismatched[rows])


def measured(scores: dict[str, np.ndarray], mismatched: np.ndarray, share: float) -> dict[str, dict[str, float]]:
    from helip.selection.keep import keep_top

    measured = {name: detection(s, keep_top(s, 1 - share), mismatched) for name, s in scores.items()}
    return {name: {key: round(values[key], 4) for key in ("auc", "precision")} for name, values in measured.items()}


def study(a: argparse.Namespace) -> None:
    """OUT/{validation,confirmation}/KIND.SEED.json and OUT/tuned/KIND.json, each written once: several processes may share OUT by kinds."""
    features = read(a.features)
    for kind in a.kinds:
        if not (a.out / "tuned" / f"{kind}.json").exists():
            validate(features, kind, a)
    for seed in range(1000, 1000 + a.confirmation):
        for kind in a.kinds:
            file = a.out / "confirmation" / f"{kind}.{seed}.json"
            if not file.exists():
                tuned = json.loads((a.out / "tuned" / f"{kind}.json").read_text())
                scores, distances, mismatched = of_draw(features, kind, seed, a.share, variants=False)
                for name, settings in tuned.items():
                    of = distances[name.split("_", 2)[2]]
                    scores[name] = of.score(LemonSettings(**{key: value for key, value in settings.items() if key != "reached"}))
                save_json(file, measured(scores, mismatched, a.share))
                print(kind, seed, "confirmed", flush=True)


def validate(features: tuple, kind: str, a: argparse.Namespace) -> None:
    labelled = {space: [] for space in SPACES}
    for seed in range(a.validation):
        file = a.out / "validation" / f"{kind}.{seed}.json"
        scores, distances, mismatched = of_draw(features, kind, seed, a.share, variants=not file.exists())
        if not file.exists():
            save_json(file, measured(scores, mismatched, a.share))
        for space in SPACES:
            labelled[space].append(labelled_part(distances[space], mismatched, seed))
        print(kind, seed, "validated", flush=True)
    tuned = {}
    for space in SPACES:
        for criterion in ("f1", "auc"):
            optimum = tune(labelled[space], criterion, weights=WEIGHTS, starts=(), evaluations=EVALUATIONS)
            tuned[f"lemon_{criterion}_{space}"] = optimum.settings.model_dump() | {"reached": optimum.value}
            print(kind, space, criterion, tuned[f"lemon_{criterion}_{space}"], flush=True)
    save_json(a.out / "tuned" / f"{kind}.json", tuned)


def summary(out: Path, share: float) -> dict:
    """Everything that OUT holds, as one value."""
    parts = {part: {f.stem: json.loads(f.read_text()) for f in sorted((out / part).glob("*.json"))} for part in PARTS}
    return {"share": share, **machine(), **parts}


def table(draws: dict[str, dict]) -> str:
    """Markdown: mean AUC and precision over the draws of each kind, plus or minus the half width of a 95 % interval over draws."""
    from scipy.stats import t as student

    def cell(name: str, kind: str, key: str) -> str:
        values = np.array([scores[name][key] for draw, scores in draws.items() if draw.startswith(kind)])
        half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        return f"{values.mean():.3f} ± {half:.3f}"

    kinds = [kind for kind in KINDS if any(draw.startswith(kind) for draw in draws)]
    columns = [(kind, key) for kind in kinds for key in ("auc", "precision")]
    lines = ["| score | " + " | ".join(f"{kind}: {key}" for kind, key in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    names = sorted(next(iter(draws.values())), key=lambda name: -float(cell(name, kinds[0], "auc").split()[0]))
    return "\n".join(lines + [f"| {n} | " + " | ".join(cell(n, *c) for c in columns) + " |" for n in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.15)
    parser.add_argument("--validation", type=int, default=2, help="draws of each kind")
    parser.add_argument("--confirmation", type=int, default=4, help="draws of each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--table", choices=("validation", "confirmation"), help="print what OUT holds, and compute nothing")
    a = parser.parse_args()
    for part in PARTS:
        (a.out / part).mkdir(parents=True, exist_ok=True)
    if not a.table:
        torch.set_num_threads(a.threads)
        study(a)
    save_json(a.out / "detection.json", summary(a.out, a.share))
    print(table(summary(a.out, a.share)[a.table or "confirmation"]))


if __name__ == "__main__":
    main()
