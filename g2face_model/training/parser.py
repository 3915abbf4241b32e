"""Train the face parser on generated people, whose labels come from the generator's features, with drawn occluders.

Two rounds, about 50 minutes on one core: the first on people without glasses, with drawn glasses only; what it finds on
the generator's own wearers of glasses then joins the data of the second. Nothing was labelled by hand except who of the
first 300 people wears glasses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from g2face_model.networks.generator import Generator
from g2face_model.networks.parser import ParserNet
from g2face_model.training.face_labels import GRID, fit_clusters, pixel_features
from g2face_model.training.people import RENDER_PX, People, read_people
from g2face_model.training.scenes import Faces, Shard, find_glasses, make_sample, shrink
from g2face_model.training.wearers import WEARERS, Probe, judge, overrule, probe_from_shares, probe_from_sight
from g2face_model.types import Floats
from g2face_model.weights import WeightStore, save_trained

_FITTED = 80  # people the clusters are fitted on


@dataclass(frozen=True, slots=True)
class ParserConfig:
    """Defaults of a full run. The committed weights had fewer steps, and no second round: their metadata say so."""

    steps: int = 3000  # of each round
    batch: int = 16
    learning_rate: float = 3e-3
    average: float = 0.995  # of the weights that are kept
    glasses_weight: float = 3.0
    seed: int = 0


@torch.inference_mode()
def label_people(store: WeightStore, folder: Path) -> None:
    """Write NNNN.labels.npy, (100, 2, GRID, GRID) uint8 of face and hair, beside every shard that has none."""
    shards = sorted(folder.glob("[0-9][0-9][0-9][0-9].npz"))
    missing = [path for path in shards if not path.with_suffix(".labels.npy").exists()]
    if not missing:
        return
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    generator = generator.eval().to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = next(read_people(folder, only=shards[0]))
    some = [pixel_features(generator, torch.from_numpy(w)).half() for w in first.coarse[:_FITTED]]
    clusters = fit_clusters(torch.stack(some), first.meshes[:_FITTED] * np.float32(GRID / RENDER_PX))
    for path in tqdm(missing, desc="labels", unit="shard"):
        people = next(read_people(folder, only=path))
        labels = [clusters.label(pixel_features(generator, torch.from_numpy(w))) for w in people.coarse]
        partial = path.with_suffix(".labels.tmp.npy")
        np.save(partial, np.stack(labels))
        partial.rename(path.with_suffix(".labels.npy"))


def batches(faces: Faces, config: ParserConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (B, 3, S, S) crops in 0..1 and (B, 3, S, S) labels."""
    chance = np.random.default_rng(config.seed)
    while True:
        samples = [make_sample(faces, chance) for _ in range(config.batch)]
        pixels, labels = (torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2) for part in zip(*samples, strict=True))
        yield pixels.float() / 255, labels.float()


def loss_of(logits: Tensor, labels: Tensor, *, glasses_weight: float) -> Tensor:
    """Cross-entropy with soft labels, heavier on glasses, plus the Dice losses of face and glasses."""
    entropy = -(labels * F.log_softmax(logits, 1)).sum(1)
    weight = 1 + glasses_weight * labels[:, 1]
    share = torch.softmax(logits, 1)[:, :2]
    overlap = (share * labels[:, :2]).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 50) / (share.sum((0, 2, 3)) + labels[:, :2].sum((0, 2, 3)) + 50)
    return (entropy * weight).mean() + 0.3 * dice.sum()


def fit(faces: Faces, config: ParserConfig, *, net: ParserNet) -> ParserNet:
    """Train `net` in place and return the running average of its weights, in evaluation mode."""
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = ParserNet(norm=True)
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    source = batches(faces, config)
    progress = tqdm(range(config.steps), desc="parser", mininterval=20)
    for step in progress:
        rate = min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * step / config.steps)) + 0.01
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        pixels, labels = next(source)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(pixels.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), labels, glasses_weight=config.glasses_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        _blend(average, net, keep=min(config.average, (step + 1) / (step + 10)))
        progress.set_postfix(loss=f"{loss.item():.3f}")
    return average.eval()


@torch.no_grad()
def _blend(average: ParserNet, net: ParserNet, *, keep: float) -> None:
    for target, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if target.is_floating_point():
            target.lerp_(value.to(target.dtype), 1 - keep)
        else:
            target.copy_(value)


@torch.inference_mode()
def measure(net: ParserNet, faces: Faces, *, plain: bool, count: int = 300) -> dict[str, float]:
    """Intersection over union of each class on samples nobody was trained on."""
    chance = np.random.default_rng(1)
    both, either = torch.zeros(3), torch.zeros(3)
    for _ in range(count):
        picture, labels = make_sample(faces, chance, plain=plain)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        found = F.one_hot(net(pixels)[0].argmax(0), 3).bool().flatten(0, 1)
        truth = F.one_hot(torch.from_numpy(labels.argmax(-1)), 3).bool().flatten(0, 1)
        both += (found & truth).sum(0)
        either += (found | truth).sum(0)
    names = ("face", "glasses", "other")
    return {name: float(b / e) for name, b, e in zip(names, both, either, strict=True) if e > 0}


def read_shards(folder: Path) -> list[Shard]:
    """Every labelled shard."""
    paths = sorted(folder.glob("[0-9][0-9][0-9][0-9].npz"))
    labels = [(path, path.with_suffix(".labels.npy")) for path in paths]
    return [(next(read_people(folder, only=path)), np.load(label)) for path, label in labels if label.exists()]


def glasses_shares(net: ParserNet, people: People) -> Floats:
    """(N,) share of each picture that is glasses."""
    found = [(find_glasses(net, shrink(people.picture(i))) > 0.5).mean() for i in range(len(people))]
    return np.array(found, np.float32)


def train(store: WeightStore, people: Path, *, config: ParserConfig | None = None) -> dict[str, float]:
    """Label, train twice, measure on the last shard, save as "parser"; the intersection over union per class."""
    config = config or ParserConfig()
    label_people(store, people)
    shards = read_shards(people)
    torch.manual_seed(config.seed)
    probe = probe_from_sight({number: shards[number][0] for number in WEARERS})
    bare = [probe.guess(shard[0].coarse) for shard in shards]
    net = fit(Faces(shards[:-1], bare[:-1]), config, net=ParserNet(norm=True))
    probe, faces, held_out = second_sight(net, shards)
    again = ParserNet(norm=True)
    again.load_state_dict(net.state_dict())
    net = fit(faces, replace(config, seed=config.seed + 1), net=again)
    figures = measure(net, held_out, plain=False)
    save(net, probe, metadata={"people": str(len(faces)), **{f"iou_{k}": f"{v:.4f}" for k, v in figures.items()}})
    return figures


def second_sight(net: ParserNet, shards: list[Shard]) -> tuple[Probe, Faces, Faces]:
    """What a parser of drawn glasses sees: a better probe; people with and without glasses, the last shard apart."""
    shares = [overrule(k, glasses_shares(net, people)) for k, (people, _) in enumerate(shards)]
    probe = probe_from_shares(np.concatenate([people.coarse for people, _ in shards]), np.concatenate(shares))
    wears = [judge(share, probe.score(people.coarse)) for share, (people, _) in zip(shares, shards, strict=True)]
    return probe, Faces(shards[:-1], wears[:-1], net=net), Faces(shards[-1:], wears[-1:], net=net)


def save(net: ParserNet, probe: Probe, *, metadata: dict[str, str]) -> None:
    """Fold the norms and keep the network in half precision, and the probe."""
    tensors = {name: tensor.half() for name, tensor in net.folded().items()}
    tensors["glasses_probe.weight"] = torch.from_numpy(probe.weight)
    tensors["glasses_probe.bias"] = torch.tensor(probe.bias)
    save_trained("parser", tensors, metadata=metadata)
