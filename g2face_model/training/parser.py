"""Train the face parser on generated people, whose labels come from the generator's features, with drawn occluders.

About 25 minutes on one core. Nothing here was labelled by hand except who of the first 300 people wears glasses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator as Chance
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from g2face_model.alignment import compose as compose_matrices
from g2face_model.alignment import ffhq_matrix, scale_of, transform
from g2face_model.landmarks import sixty_eight
from g2face_model.networks.generator import Generator
from g2face_model.networks.parser import SIZE, ParserNet
from g2face_model.training.degradations import cast_shadow, misalign, recolour, spoil, tone_skin
from g2face_model.training.face_labels import GRID, OVAL, fit_clusters, pixel_features, sharpen
from g2face_model.training.layers import Scene, compose, fill, floats
from g2face_model.training.occluders import CHANCES, DRAWN, borrow_hair
from g2face_model.training.people import RENDER_PX, STORED_PX, People, read_people
from g2face_model.training.spectacles import draw_glasses
from g2face_model.types import FaceMesh, Floats, Image
from g2face_model.weights import WeightStore, save_trained

# Seen with the eye: who wears glasses among the people of shards 0, 1 and 2, and whose case is not clear.
_WEARERS = {
    0: (2, 3, 12, 27, 33, 35, 38, 51, 56, 58, 62, 69, 76, 77, 79, 82, 94, 99),
    1: (4, 7, 13, 14, 17, 18, 21, 29, 33, 35, 40, 41, 48, 49, 84, 89),
    2: (21, 24, 27, 34, 38, 46, 47, 48, 56, 67, 71, 72, 76, 80, 99),
}
_UNCLEAR = {0: (95, 19), 1: (92, 94, 36, 96), 2: (19,)}
_FITTED = 80  # people the clusters are fitted on
_LIMIT = -3.0  # log-odds of glasses above which a person is left out


@dataclass(frozen=True, slots=True)
class ParserConfig:
    """Defaults of the committed weights."""

    steps: int = 3000
    batch: int = 16
    learning_rate: float = 3e-3
    average: float = 0.995  # of the weights that are kept
    glasses_weight: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Probe:
    """A linear score of a coarse w; positive: wears glasses."""

    weight: Floats
    bias: float

    def score(self, coarse: Floats) -> Floats:
        """(N, 512) -> (N,) log-odds."""
        return np.asarray(coarse @ self.weight + self.bias, np.float32)


def fit_probe(people: dict[int, People]) -> Probe:
    """Logistic regression on the shards that were looked at; `people` maps their numbers to them."""
    rows, wears = [], []
    for shard, wearers in _WEARERS.items():
        keep = [i for i in range(len(people[shard])) if i not in _UNCLEAR[shard]]
        rows.append(people[shard].coarse[keep])
        wears += [float(i in wearers) for i in keep]
    x, y = torch.from_numpy(np.concatenate(rows)).float(), torch.tensor(wears)
    mean, spread = x.mean(0), x.std()
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        logits = ((x - mean) / spread) @ weight + bias
        loss = F.binary_cross_entropy_with_logits(logits, y) + 0.02 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    scaled = (weight / spread).detach()
    return Probe(scaled.numpy(), float((bias - mean @ scaled).detach()))


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


class Faces:
    """Labelled people without glasses, from which scenes are cut."""

    def __init__(self, shards: list[tuple[People, NDArray[np.uint8]]], probe: Probe, *, limit: float) -> None:
        self._shards = shards
        scores = [
            np.maximum(probe.score(people.coarse), np.where(people.scores > 0.9, -99, 99)) for people, _ in shards
        ]
        self._index = [(s, int(i)) for s, found in enumerate(scores) for i in np.flatnonzero(found < limit)]
        self._all = [(s, i) for s, (people, _) in enumerate(shards) for i in range(len(people))]
        light = np.array([self._skin_light(*place) for place in self._index])
        weight = np.clip(110 / np.maximum(light, 20), 0.7, 4.0) ** 1.5  # dark skin is rare among the generated
        self._cumulated = np.cumsum(weight / weight.sum())[:-1]
        self._made: dict[int, Image] = {}

    def __len__(self) -> int:
        return len(self._index)

    def _skin_light(self, shard: int, index: int) -> float:
        people = self._shards[shard][0]
        data = np.frombuffer(people.pictures[index], np.uint8)
        small = np.asarray(cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_4))
        points = people.mesh_points(index)[[50, 280, 205, 425, 151], :2] / 4
        x, y = np.clip(np.round(points).astype(int), 0, small.shape[0] - 1).T
        return float(np.median(small[y, x]))

    def texture(self, chance: Chance) -> Image:
        """(SIZE, SIZE, 3) of some person's surroundings, enlarged from a random square."""
        shard, index = self._all[chance.integers(len(self._all))]
        data = np.frombuffer(self._shards[shard][0].pictures[index], np.uint8)
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2))[..., ::-1]
        side = int(chance.integers(24, 90))
        x, y = chance.integers(0, picture.shape[0] - side), chance.choice([0, picture.shape[0] - side - 1])
        return np.asarray(cv2.resize(picture[y : y + side, x : x + side], (SIZE, SIZE)), np.uint8)

    def _masks(self, place: int) -> Image:
        """(SIZE, SIZE, 2) uint8 of face and hair in 1/255, over the whole picture; made once."""
        if place not in self._made:
            shard, index = self._index[place]
            people, labels = self._shards[shard]
            half = np.asarray(cv2.resize(people.picture(index), (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
            masks = np.dstack([sharpen(label, half) for label in labels[index]])
            masks[..., 0] *= _replaceable(people.mesh_points(index) * (SIZE / STORED_PX))
            self._made[place] = (masks * 255).round().astype(np.uint8)
        return self._made[place]

    def scene(self, chance: Chance, *, place: int | None = None) -> Scene:
        """A random person (or the given one), cut out as `alignment.extract` would, give or take."""
        place = int(np.searchsorted(self._cumulated, chance.random())) if place is None else place
        shard, index = self._index[place]
        people = self._shards[shard][0]
        picture, mesh = people.picture(index), people.mesh_points(index)
        matrix = ffhq_matrix(sixty_eight(FaceMesh(mesh, 1.0)).points, SIZE)
        matrix = compose_matrices(misalign(chance, SIZE), matrix)
        masks = self._masks(place)
        from_half = compose_matrices(matrix, np.array([[STORED_PX / SIZE, 0, 0.5], [0, STORED_PX / SIZE, 0.5]]))
        points = np.column_stack([transform(mesh[:, :2], matrix), mesh[:, 2] * scale_of(matrix)]).astype(np.float32)
        cut = floats(cv2.warpAffine(masks, from_half, (SIZE, SIZE))) / np.float32(255)
        pixels = cv2.warpAffine(picture, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
        return Scene(np.asarray(pixels, np.uint8), points, cut[..., 0], cut[..., 1], self.texture)


def _replaceable(mesh: Floats) -> Floats:
    """(SIZE, SIZE) soft mask that cuts off ears, and skin of other people: the oval with all that is above it."""
    outline = mesh[OVAL, :2].astype(np.float32)
    centre, height = outline.mean(0), float(np.ptp(outline[:, 1]))
    outline = centre + (outline - centre) * np.float32(1.04)
    up = np.clip((mesh[168, 1] - outline[:, 1]) / height, 0, None)
    outline[:, 1] -= up * height * 1.2
    return np.asarray(cv2.GaussianBlur(fill(SIZE, outline), (0, 0), 0.7), np.float32)


def make_sample(faces: Faces, chance: Chance, *, plain: bool = False) -> tuple[Image, Floats]:
    """A picture (SIZE, SIZE, 3) uint8 and its labels (SIZE, SIZE, 3): face, glasses, other. `plain`: as generated."""
    scene = faces.scene(chance)
    labels = np.dstack([scene.face, np.zeros_like(scene.face), 1 - scene.face])
    if plain:
        return scene.picture, labels
    if chance.random() < 0.45:
        scene = Scene(tone_skin(scene, chance), scene.mesh, scene.face, scene.hair, scene.texture)
    picture = scene.picture
    if chance.random() < 0.12:
        picture, labels = compose(picture, labels, borrow_hair(scene, faces.scene(chance), chance))
    glasses = chance.random() < 0.4
    things = chance.choice(len(DRAWN), size=int(chance.choice([0, 1, 2], p=[0.42, 0.42, 0.16])), p=CHANCES)
    for thing in (t for t in things if DRAWN[t].__name__ in _UNDER_GLASSES):
        picture, labels = compose(picture, labels, DRAWN[thing](scene, chance))
    if glasses:
        picture, labels = compose(picture, labels, draw_glasses(scene, chance))
    for thing in (t for t in things if DRAWN[t].__name__ not in _UNDER_GLASSES):
        picture, labels = compose(picture, labels, DRAWN[thing](scene, chance))
    for _ in range(int(chance.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        picture = cast_shadow(picture, chance, scene=scene)
    picture = spoil(recolour(picture, chance), chance) if chance.random() < 0.9 else picture
    if chance.random() < 0.5:
        picture, labels = picture[:, ::-1], labels[:, ::-1]
    return picture, labels


_UNDER_GLASSES = ("draw_mask", "draw_scarf")


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


def fit(faces: Faces, config: ParserConfig, *, net: ParserNet, seconds: float | None = None) -> ParserNet:
    """Train `net` in place and return the running average of its weights, in evaluation mode."""
    net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = ParserNet(norm=True)
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    start, source = time.monotonic(), batches(faces, config)
    progress = tqdm(range(config.steps), desc="parser", mininterval=20)
    for step in progress:
        done = step / config.steps if seconds is None else (time.monotonic() - start) / seconds
        if done >= 1:
            break
        rate = min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * done)) + 0.01
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


def load_faces(folder: Path, probe: Probe) -> tuple[Faces, Faces]:
    """People to train on, and held-out people (the last shard)."""
    shards = []
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9].npz")):
        if path.with_suffix(".labels.npy").exists():
            labels = np.load(path.with_suffix(".labels.npy"))
            shards.append((next(read_people(folder, only=path)), labels))
    return Faces(shards[:-1], probe, limit=_LIMIT), Faces(shards[-1:], probe, limit=_LIMIT)


def train(store: WeightStore, people: Path, *, config: ParserConfig | None = None) -> dict[str, float]:
    """Label, train, measure, save as "parser"; the intersection over union per class on held-out people."""
    config = config or ParserConfig()
    label_people(store, people)
    probe = fit_probe({s: next(read_people(people, only=people / f"{s:04d}.npz")) for s in _WEARERS})
    faces, held_out = load_faces(people, probe)
    torch.manual_seed(config.seed)
    net = fit(faces, config, net=ParserNet(norm=True))
    figures = measure(net, held_out, plain=False)
    save(net, probe, metadata={"people": str(len(faces)), **{f"iou_{k}": f"{v:.4f}" for k, v in figures.items()}})
    return figures


def save(net: ParserNet, probe: Probe, *, metadata: dict[str, str]) -> None:
    """Fold the norms and keep the network and the probe, in half precision."""
    tensors = {name: tensor.half() for name, tensor in net.folded().items()}
    tensors["glasses_probe.weight"] = torch.from_numpy(probe.weight)
    tensors["glasses_probe.bias"] = torch.tensor(probe.bias)
    save_trained("parser", tensors, metadata=metadata)
