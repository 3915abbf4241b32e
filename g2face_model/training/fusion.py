"""Train fusion inside the generator: `python -m g2face_model train fusion --config cpu --run FOLDER`.

Two stages, one after the other in one run that can be broken off at any step:

1. head: a small network learns to draw the picture from the generator's features of 256 px, on the generator's own
   pictures (L1 and deep features).
2. fusion: encoder, masks and head together, on pairs (fusion_pairs.py):

   L = pixel |y - t| + feature D(y, t) + identity L_id(y) + landmark |mesh(y) - mesh(t)| + mask |M - face|
       + adversarial softplus(-C(y))

   y is the fused picture, t the answer; L_id leads towards the virtual identity and away from the original by all
   recognisers but the judge (G2Face, arXiv 2408.09458, section III-D); M are the masks of the two finest levels, which
   would otherwise let the original's features through; C is a small critic with R1, which begins late.
   Where the virtual identity is the original's own, the answer is the original (the paper's reconstruction case).

The pretrained generator is not changed. New pairs keep coming and push out the oldest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from g2face_model.networks.discriminator import Discriminator
from g2face_model.networks.fusion import SIZE, FusedSynthesis, picture_of
from g2face_model.recognition import TorchRecogniser, load_recognisers
from g2face_model.training import fusion_losses as losses
from g2face_model.training.fusion_pairs import Pair, PairMaker, sample
from g2face_model.training.runs import Average, Chance, Run
from g2face_model.types import Floats, Image
from g2face_model.weights import WeightStore, save_trained

_HELD_OUT = 1_000_000  # pairs from this number on are never learned from
_PATCH_PX = 96
_WEIGHTS = {"pixel": 4.0, "feature": 1.0, "identity": 3.0, "landmark": 5.0, "mask": 1.0, "adversarial": 0.05}
_FINE = slice(3, 5)  # levels of 128 and 256 px
_AIMS = {"faceres": 0.507, "mobileface": 0.275}  # of the gate: how alike a released face should at most be


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """Everything that a run depends on. `pool`: pairs kept at a time, `first`: made before the first step; `renewed`:
    a new one comes every so many steps, 0 never; `critic_from`: step of the second stage from which the critic is
    heard."""

    head_steps: int = 300
    fusion_steps: int = 800
    batch: int = 3
    pool: int = 600
    first: int = 24
    renewed: int = 2
    learning_rate: float = 2e-3
    head_rate: float = 2e-3
    warm_up: int = 20
    average: float = 0.99
    critic_from: int = 250
    critic_rate: float = 5e-4
    penalty: float = 1.0  # R1, every eighth step
    plain: float = 0.35  # share of the samples with nothing in front and no faults
    photographed: float = 0.5
    same: float = 0.15
    device: str = "cpu"
    precision: str = "bfloat16"
    save_every: int = 50
    check_every: int = 100
    held_out: int = 6
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: dict(_WEIGHTS))


CONFIGS: Mapping[str, FusionConfig] = {
    "smoke": FusionConfig(
        head_steps=40, fusion_steps=30, batch=2, pool=8, first=8, renewed=0, learning_rate=4e-3, warm_up=5,
        average=0.8, critic_from=20, plain=1.0, same=0.25, save_every=35, check_every=35, held_out=0,
    ),
    "cpu": FusionConfig(),
    "gpu": FusionConfig(
        head_steps=3000, fusion_steps=60_000, batch=16, pool=6000, renewed=1, first=200, average=0.999,
        critic_from=4000, warm_up=500, learning_rate=1e-3, device="cuda", save_every=500, check_every=1000, held_out=24,
    ),
}  # fmt: skip


def read_config(name: str) -> FusionConfig:
    """A name of CONFIGS, or a TOML file of the fields that differ from "cpu". Raises ValueError for what is neither."""
    if name in CONFIGS:
        return CONFIGS[name]
    try:
        values = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(
            f"there is no configuration of that name; known: {', '.join(CONFIGS)}, or a TOML file"
        ) from None
    unknown = set(values) - {item.name for item in fields(FusionConfig)}
    if unknown:
        raise ValueError(f"unknown in a configuration: {', '.join(sorted(unknown))}")
    values["weights"] = _WEIGHTS | values.get("weights", {})
    return replace(CONFIGS["cpu"], **values)


@dataclass(frozen=True)
class Batch:
    """Originals and answers (N, 3, 256, 256) in [-1, 1], what of the face is seen (N, 1, 256, 256), styles
    (N, 16, 512), the pairs, and whether each keeps its identity (N,)."""

    originals: Tensor
    wanted: Tensor
    face: Tensor
    styles: Tensor
    pairs: list[Pair]
    same: Tensor


class Trainer:
    """Model, optimizers, data and run of one folder."""

    def __init__(self, store: WeightStore, maker: PairMaker, config: FusionConfig, folder: Path) -> None:
        self.config, self._maker = config, maker
        self._device = torch.device(config.device)
        self._dtype = getattr(torch, config.precision)
        self.chance = Chance(config.seed)
        self.model = FusedSynthesis(maker.generator.synthesis).to(self._device)
        self.learned = self.model.learned.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.learned.state_dict(), keep=config.average)
        self.critic = Discriminator().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recognisers = load_recognisers(store)
        self._features = losses.FeatureDistance(store).to(self._device)
        self._mesh = losses.MeshDistance(store).to(self._device)
        self._optimizers = {
            "head": torch.optim.Adam(self.learned["head"].parameters(), config.head_rate, betas=(0.9, 0.99)),
            "fusion": torch.optim.Adam(self._groups(), config.learning_rate, betas=(0.9, 0.99)),
            "critic": torch.optim.Adam(self.critic.parameters(), config.critic_rate, betas=(0.0, 0.99)),
        }
        parts = {"learned": self.learned, "average": self.average, "critic": self.critic, "chance": self.chance}
        self.run = Run(folder, parts | {f"optimizer.{k}": v for k, v in self._optimizers.items()})
        self._faces: list[tuple[Tensor, Tensor, Tensor]] = []
        self._pairs: list[Pair] = []
        self._held_out: list[Pair] = []
        self._made = 0

    def _groups(self) -> list[dict[str, object]]:
        shares = {"encoder": 1.0, "fusions": 5.0, "head": 0.3}  # masks have few weights; the head has learned before
        return [{"params": list(self.learned[name].parameters()), "share": share} for name, share in shares.items()]

    def train(self, *, until: int | None = None) -> dict[str, float]:
        """Go on from the checkpoint to the last step, or to step `until`; the last values that were logged."""
        config, start = self.config, self.run.resume()
        total = config.head_steps + config.fusion_steps
        end = total if until is None else min(until, total)
        self._made = start  # after a break the data go on with new pairs
        values: dict[str, float] = {}
        for step in tqdm(range(start, end), initial=start, total=total, desc="fusion", mininterval=20):
            stage = self._head_step if step < config.head_steps else self._fusion_step
            values = stage(step)
            self.average.update(self.learned.state_dict())
            self.run.log(step, values)
            if (step + 1) % config.save_every == 0 or step + 1 == end:
                self.run.save(step + 1)
            if (step + 1) % config.check_every == 0:
                self.check(step + 1)
        return values

    def keep(self, metadata: Mapping[str, str]) -> None:
        """Make the average's weights the part "fusion" of the package, in half precision."""
        steps = {"steps": str(self.run.resume())}
        save_trained("fusion", {k: v.half() for k, v in self.average.values.items()}, metadata={**metadata, **steps})

    def _head_step(self, step: int) -> dict[str, float]:
        """Patches of features and of the generator's own picture of them."""
        config = self.config
        if len(self._faces) < config.first or config.renewed:
            self._faces = [*self._faces[-config.first :], self._face()]
        features, wanted, styles = self._patches(2 * config.batch)
        with self._autocast():
            drawn = self.learned["head"](features, styles[:, -1])
        pixel = F.l1_loss(drawn.float(), wanted)
        self._descend("head", pixel, config.head_rate * _ramp(step, config.warm_up, config.head_steps))
        return {"head": pixel.item()}

    @torch.no_grad()
    def _face(self) -> tuple[Tensor, Tensor, Tensor]:
        styles = torch.from_numpy(self._maker.draw(self.chance.numpy))[None].to(self._device)
        return self.own_picture(styles)

    @torch.no_grad()
    def own_picture(self, styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Styles (N, 16, 512) -> features (N, 128, 256, 256), the pretrained generator's own picture of them
        (N, 3, 256, 256) in [-1, 1], and the styles."""
        synthesis = self.model.synthesis
        given = styles.to(synthesis.constant.input.dtype)
        features = self.model.features(given)
        bands = synthesis.image(synthesis.levels[6](features, given[:, 13], given[:, 14]), given[:, 15])
        return features, F.avg_pool2d(bands[:, :3].float() / 2, 2), styles

    def _patches(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chance.numpy.integers(len(self._faces), size=count)
        corners = self.chance.numpy.integers(SIZE - _PATCH_PX, size=(count, 2)).tolist()
        parts = [
            tuple(layer[..., y : y + _PATCH_PX, x : x + _PATCH_PX] for layer in self._faces[k][:2])
            for k, (y, x) in zip(chosen.tolist(), corners, strict=True)
        ]
        features, wanted = (torch.cat(part) for part in zip(*parts, strict=True))
        return _last(features), wanted, torch.cat([self._faces[k][2] for k in chosen.tolist()])

    def _fusion_step(self, step: int) -> dict[str, float]:
        config, since = self.config, step - self.config.head_steps
        self._faces = []
        self._fill(step)
        batch = self._batch()
        with self._autocast():
            drawn, masks = self.model(batch.styles.to(self._dtype), batch.originals)
        drawn = drawn.float()
        terms = {
            "pixel": losses.pixel_loss(drawn, batch.wanted, batch.face),
            "feature": self._features(drawn, batch.wanted),
            "identity": self._identity(drawn, batch),
            "landmark": self._mesh(drawn, batch.wanted, [pair.mesh for pair in batch.pairs]),
            "mask": losses.mask_loss(masks[_FINE], batch.face, same=batch.same),
        }
        if since >= config.critic_from:
            with self._autocast():
                terms["adversarial"] = losses.generator_loss(self.critic(drawn).float())
        loss = losses.weighted(terms, config.weights)
        self._descend("fusion", loss, config.learning_rate * _ramp(since, config.warm_up, config.fusion_steps))
        values = {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}
        values |= {f"mask_{mask.shape[-1]}": mask.detach().float().mean().item() for mask in masks}
        if since >= config.critic_from - 20:
            values["critic"] = self._teach_critic(drawn.detach(), batch.originals, penalise=step % 8 == 0)
        return values

    def _identity(self, drawn: Tensor, batch: Batch) -> Tensor:
        meshes, parts = [pair.mesh for pair in batch.pairs], []
        for recogniser in self._recognisers:
            if recogniser.name == losses.JUDGE:
                continue
            found = losses.embed(recogniser, drawn, meshes)
            original, virtual = (
                torch.from_numpy(np.stack([known[recogniser.name] for known in knowns])).to(self._device)
                for knowns in ([p.of_original for p in batch.pairs], [p.of_alone for p in batch.pairs])
            )
            aim = _AIMS[recogniser.name]
            parts.append(losses.identity_loss(found, original, virtual, aim=aim, same=batch.same))
        return torch.stack(parts).mean()

    def _teach_critic(self, made: Tensor, real: Tensor, *, penalise: bool) -> float:
        with self._autocast():
            logits = [self.critic(_last(pictures)).float() for pictures in (real, made)]
        loss = losses.discriminator_loss(*logits)
        penalty = losses.gradient_penalty(self.critic, real) * 8 * self.config.penalty if penalise else 0.0
        self._descend("critic", loss + penalty, self.config.critic_rate)
        return loss.item()

    def _descend(self, name: str, loss: Tensor, rate: float) -> None:
        optimizer = self._optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()

    def _fill(self, step: int) -> None:
        """At least `first` pairs, and one more where it is time; the oldest make room."""
        new = bool(self.config.renewed) and step % self.config.renewed == 0
        wanted = max(len(self._pairs) + new, self.config.first)
        while len(self._pairs) < wanted:
            self._pairs.append(self._maker.make(self._made))
            self._made += 1
        self._pairs = self._pairs[-self.config.pool :]

    def _batch(self) -> Batch:
        chance = self.chance.numpy
        pairs = [self._pairs[k] for k in chance.integers(len(self._pairs), size=self.config.batch).tolist()]
        return self._as_batch(pairs, [sample(pair, self._pairs, chance, plain=self.config.plain) for pair in pairs])

    def _as_batch(self, pairs: list[Pair], samples: list[tuple[Image, Image, Floats]]) -> Batch:
        originals, wanted = self._planes([made[0] for made in samples]), self._planes([made[1] for made in samples])
        face = torch.from_numpy(np.stack([made[2] for made in samples]))[:, None].to(self._device)
        styles = torch.from_numpy(np.stack([pair.styles for pair in pairs])).to(self._device)
        same = torch.tensor([float(pair.same) for pair in pairs], device=self._device)
        return Batch(originals, wanted, face, styles, pairs, same)

    def _planes(self, pictures: list[Image]) -> Tensor:
        stacked = torch.from_numpy(np.stack(pictures)).to(self._device).permute(0, 3, 1, 2)
        return _last(stacked.float() / 127.5 - 1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)

    @torch.no_grad()
    def check(self, step: int) -> dict[str, float]:
        """Draw and measure held-out pairs with the average's weights, and write a sheet: original, virtual identity
        alone, masks from coarse to fine, fused, answer. In a run without held-out pairs the learned ones are shown."""
        count = self.config.held_out
        while len(self._held_out) < count:
            self._held_out.append(self._maker.make(_HELD_OUT + len(self._held_out)))
        pairs = self._held_out or self._pairs[:8]
        if not pairs:
            return {}
        chance = np.random.default_rng(0)
        batch = self._as_batch(pairs, [sample(pair, pairs, chance, plain=0.7) for pair in pairs])
        current = {name: value.clone() for name, value in self.learned.state_dict().items()}
        self.learned.load_state_dict(self.average.values)
        drawn, masks = self._draw(batch)
        self.learned.load_state_dict(current)
        values = self._measure(drawn, batch)
        self.run.log(step, {f"held_out_{name}": value for name, value in values.items()})
        self.run.sheet(f"sheet-{step:06d}.png", _sheet(batch, drawn, picture_of(masks)))
        return values

    def _draw(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        with self._autocast():
            drawn, masks = self.model(batch.styles.to(self._dtype), batch.originals)
        return drawn.float(), masks

    def _measure(self, drawn: Tensor, batch: Batch) -> dict[str, float]:
        error = (drawn.clamp(-1, 1) - batch.wanted).square().mean((1, 2, 3))
        values = {
            "psnr_db": float((10 * torch.log10(4 / error)).mean()),
            "pixel": float(F.l1_loss(drawn, batch.wanted)),
        }
        others = [k for k, pair in enumerate(batch.pairs) if not pair.same]
        for recogniser in self._recognisers if others else ():
            values |= _likeness(recogniser, drawn[others], batch, others)
        return values


def _likeness(recogniser: TorchRecogniser, drawn: Tensor, batch: Batch, rows: list[int]) -> dict[str, float]:
    """Mean cosine of fused faces to the originals, and of the answers to them."""
    meshes = [batch.pairs[k].mesh for k in rows]
    known = np.stack([batch.pairs[k].of_original[recogniser.name] for k in rows])
    means = {}
    for name, pictures in (("", drawn), ("_answer", batch.wanted[rows])):
        found = losses.embed(recogniser, pictures, meshes).numpy()
        means[f"{recogniser.name}{name}"] = float((found * known).sum(1).mean())
    return means


def _ramp(step: int, warm_up: int, total: int) -> float:
    """Linear up, then a cosine down to a twentieth."""
    return min(1.0, (step + 1) / warm_up) * (0.525 + 0.475 * float(np.cos(np.pi * min(step / total, 1.0))))


def _last(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)


def _sheet(batch: Batch, drawn: Tensor, masks: Tensor) -> Image:
    """One row per pair."""
    rows = []
    for k, pair in enumerate(batch.pairs):
        grey = [_levels(mask.expand(3, -1, -1) * 2 - 1) for mask in masks[k].cpu()]
        pictures = [_levels(batch.originals[k]), pair.alone, *grey, _levels(drawn[k]), _levels(batch.wanted[k])]
        rows.append(np.concatenate(pictures, 1))
    return np.concatenate(rows, 0)


def _levels(picture: Tensor) -> Image:
    """(3, S, S) in [-1, 1] -> (S, S, 3) uint8."""
    scaled = (picture.float().cpu().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(1, 2, 0).contiguous().numpy()
