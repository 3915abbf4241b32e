"""Train the mapping: a donor's latent, moved into any wanted geometry and away from any given person.

Two stages, minutes on a CPU. First the predictors learn what a rendering of a latent will measure (its geometry's
condition and identity codes): generated people give exact pairs. Then the mapping learns to move random donors to
random targets, with the frozen predictors in place of renderings, after G2Face's identity and geometry losses (arXiv
2408.09458, section III-D):

  L = |G(w') - g|^2 + keep (1 - cos(I(w'), code of the donor)) + push max(0, cos(I(w'), code to avoid) - margin)
      + plausible |A(w') - the donor's attributes|^2
      + stay |w' - w|^2 (whitened) + outlier max(0, |w'| - 2.5)^2 (whitened)

Two predictors take turns, and inputs are jittered, so that the mapping cannot learn to please one predictor's errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from g2face_model.geometry import GeometryModel
from g2face_model.identity import IdentityCodes
from g2face_model.networks.mapping import ANGLES, EXPRESSIONS, SHAPE, Mapping, Predictor, cosines
from g2face_model.training.description import Description, read_descriptions
from g2face_model.training.people import People
from g2face_model.types import FaceMesh, Floats

CODE_SIZES = {"dlib": 96, "faceres": 128, "mobileface": 128}
_ANGLES_WEIGHT, _SHAPE_WEIGHT, _EXPRESSION_WEIGHT = 1.0, 4.0, 0.3
_HELD_OUT = 200
_ATTRIBUTE_GAIN = torch.tensor([1.0, 4.0, *[3.0] * 5, 10.0])
_BARE = 0.96


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """Defaults of the committed weights."""

    predictor_epochs: int = 22
    mapping_epochs: int = 32
    batch: int = 128
    learning_rate: float = 1e-3
    jitter: float = 0.05  # of latents and conditions, in standard deviations
    plausible: float = 4.0
    keep: float = 0.1
    push: float = 1.5
    margin: float = -0.3
    stay: float = 0.02
    forgotten: float = 0.15  # how often a recogniser's part of the code is left out
    seed: int = 0


@dataclass(frozen=True)
class Corpus:
    """N people as the mapping sees them: standardised latents (N, 512), conditions (N, 90), attributes
    (N, 8), codes (N, K)."""

    latents: Tensor
    conditions: Tensor
    attributes: Tensor
    codes: Tensor

    def part(self, rows: slice) -> Corpus:
        return Corpus(self.latents[rows], self.conditions[rows], self.attributes[rows], self.codes[rows])

    def __len__(self) -> int:
        return len(self.latents)


def fit_codes(embeddings: dict[str, Floats]) -> IdentityCodes:
    """Per recogniser the mean embedding and the leading directions of the centred ones: recogniser -> (N, D) in."""
    bases = {}
    for name, size in CODE_SIZES.items():
        mean = embeddings[name].mean(0)
        centred = embeddings[name] - mean
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        directions = np.linalg.eigh(centred.T @ centred)[1].T[::-1]
        bases[name] = (mean, np.ascontiguousarray(directions[:size], np.float32))
    return IdentityCodes(bases)


@dataclass(frozen=True)
class Prepared:
    """Everything read from a folder of people, and the statistics that standardise it."""

    corpus: Corpus
    codes: IdentityCodes
    latent_mean: Floats
    latent_spread: Floats
    metric: Tensor  # of shape coefficients, see GeometryModel.metric


def prepare(*folders: Path, geometry: GeometryModel, min_score: float = 0.99) -> Prepared:
    """Read people and descriptions, leave out pictures in which no face was found, and standardise.

    The last people of the last folder will be held out.
    """
    latents, conditions, attributes = [], [], []
    embeddings: dict[str, list[Floats]] = {name: [] for name in CODE_SIZES}
    for people, vectors, described in read_descriptions(*folders):
        good = np.flatnonzero(people.scores > min_score)
        latents.append(people.coarse[good])
        conditions += [_condition(geometry, people, described, i) for i in good.tolist()]
        attributes.append(_attributes(described)[good])
        for name, rows in embeddings.items():
            rows.append(vectors[name][good])
    stacked = {name: np.concatenate(rows) for name, rows in embeddings.items()}
    codes = fit_codes(stacked)
    encoded = [codes.encode({name: rows[i] for name, rows in stacked.items()}) for i in range(len(conditions))]
    coarse = np.concatenate(latents)
    mean, spread = coarse.mean(0), coarse.std(0)
    columns = ((coarse - mean) / spread, conditions, np.concatenate(attributes), encoded)
    corpus = Corpus(*(torch.from_numpy(np.asarray(column, np.float32)) for column in columns))
    metric = torch.from_numpy(geometry.metric()).float()
    return Prepared(corpus, codes, mean, spread, metric)


def _attributes(described: Description) -> Floats:
    """(N, 8), in the order of networks/mapping.py."""
    columns = (described.ages / 10, described.masculinity, described.ancestry, described.visible)
    return np.column_stack(columns).astype(np.float32)


def _condition(geometry: GeometryModel, people: People, described: Description, index: int) -> Floats:
    return geometry.derive(FaceMesh(people.meshes[index], 1.0), described.expressions[index]).condition


class GeometryLoss(nn.Module):
    """How far predicted conditions (N, 90) are from wanted ones: squared error of the angles, mean square distance of
    the vertices relative to a spread of all coefficients, divergence of the expression."""

    metric: Tensor

    def __init__(self, metric: Tensor) -> None:
        super().__init__()
        self.register_buffer("metric", metric / metric.trace())

    def forward(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        parts = [torch.split(x, [ANGLES, SHAPE, EXPRESSIONS], 1) for x in (predicted, wanted)]
        (angles, shape, logits), (wanted_angles, wanted_shape, expression) = parts
        difference = shape - wanted_shape
        moved = (difference @ self.metric * difference).sum(1).mean()
        return (
            _ANGLES_WEIGHT * F.mse_loss(angles, wanted_angles)
            + _SHAPE_WEIGHT * moved
            + _EXPRESSION_WEIGHT * F.kl_div(F.log_softmax(logits, 1), expression, reduction="batchmean")
        )


def optimise(
    network: nn.Module, loss: Callable[[Tensor], Tensor], *, rows: int, epochs: int, config: MappingConfig
) -> None:
    """AdamW with one learning-rate cycle over batches of row numbers."""
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.02)
    steps = rows // config.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=epochs * steps)
    network.train()
    for _ in tqdm(range(epochs), desc=type(network).__name__.lower(), unit="epoch"):
        for batch in torch.split(torch.randperm(rows)[: steps * config.batch], config.batch):
            value = loss(batch)
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval().requires_grad_(False)


def train_predictor(
    corpus: Corpus, sizes: tuple[int, ...], *, geometry: GeometryLoss, seed: int, config: MappingConfig
) -> Predictor:
    torch.manual_seed(seed)
    predictor = Predictor(sizes)

    def loss(batch: Tensor) -> Tensor:
        latents = corpus.latents[batch]
        condition, attributes, codes = predictor(_jittered(latents, config.jitter))
        likeness = cosines(codes, corpus.codes[batch], sizes)
        looks = geometry(condition, corpus.conditions[batch]) + attribute_error(attributes, corpus.attributes[batch])
        total: Tensor = looks + (1 - likeness).mean()
        return total

    optimise(predictor, loss, rows=len(corpus), epochs=config.predictor_epochs, config=config)
    return predictor


def attribute_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean square over attributes (N, 8), each in units that a stranger would notice: 10 years, 0.25, 0.3, 0.1."""
    return F.mse_loss(predicted * _ATTRIBUTE_GAIN, wanted * _ATTRIBUTE_GAIN)


def bare(attributes: Tensor) -> Tensor:
    """The attributes a moved donor should have: its own, but with nothing in front of the face."""
    return torch.cat([attributes[:, :-1], torch.full_like(attributes[:, -1:], _BARE)], 1)


def lookalikes(corpus: Corpus, *, each: int = 64) -> Tensor:
    """(N, each): for every person others of nearly the same age, sex and ancestry.

    Faces are pushed away from people they could stand in for, so that the mapping does not learn to change the sex and
    call it another identity.
    """
    noticed = (corpus.attributes * _ATTRIBUTE_GAIN)[:, :-1]
    gaps = torch.cdist(noticed, noticed)
    gaps += torch.rand_like(gaps)  # some further away, too
    return gaps.fill_diagonal_(torch.inf).topk(each, largest=False).indices


def _jittered(values: Tensor, amount: float) -> Tensor:
    return values + amount * torch.randn_like(values)


def whitening(latents: Tensor) -> Tensor:
    """(512, 512): latents times this have about unit covariance; the least varied directions are not blown up."""
    covariance = torch.cov(latents.T).double()
    variances, directions = torch.linalg.eigh(covariance)
    white: Tensor = directions / variances.clamp_min(0.02).sqrt()
    return white.float()


def train_mapping(
    corpus: Corpus,
    predictors: list[Predictor],
    sizes: tuple[int, ...],
    *,
    geometry: GeometryLoss,
    config: MappingConfig,
) -> Mapping:
    torch.manual_seed(config.seed)
    mapping, white = Mapping(sum(sizes)), whitening(corpus.latents)
    resembling = lookalikes(corpus)
    turn = 0

    def loss(batch: Tensor) -> Tensor:
        nonlocal turn
        turn = (turn + 1) % len(predictors)
        donor, target = corpus.latents[batch], resembling[batch, torch.randint(resembling.shape[1], batch.shape)]
        used = (torch.rand(len(batch), len(sizes)) > config.forgotten).float()
        away = corpus.codes[target] * used.repeat_interleave(torch.tensor(sizes), dim=1)
        wanted = corpus.conditions[target]
        wanted = torch.cat([_jittered(wanted[:, :-EXPRESSIONS], config.jitter), wanted[:, -EXPRESSIONS:]], 1)
        moved = mapping(donor, wanted, away)
        condition, attributes, codes = predictors[turn](_jittered(moved, config.jitter))
        kept = (1 - cosines(codes, corpus.codes[batch], sizes)).mean()
        alike = (F.relu(cosines(codes, corpus.codes[target], sizes) - config.margin) * used).mean()
        strayed = ((moved - donor) @ white).square().mean()
        outlying = F.relu((moved @ white).abs() - 2.5).square().mean()
        plausible = attribute_error(attributes, bare(corpus.attributes[batch]))
        pull = geometry(condition, wanted) + config.plausible * plausible + config.keep * kept + config.push * alike
        total: Tensor = pull + config.stay * strayed + outlying
        return total

    optimise(mapping, loss, rows=len(corpus), epochs=config.mapping_epochs, config=config)
    return mapping


@torch.inference_mode()
def report(
    corpus: Corpus, predictor: Predictor, mapping: Mapping, sizes: tuple[int, ...], *, geometry: GeometryLoss
) -> dict[str, float]:
    """Figures on people that training has not seen: explained variance of the pose, code cosines, and what the mapping
    reaches for random pairs by the predictor's measure."""
    condition, attributes, codes = predictor(corpus.latents)
    residual = (condition - corpus.conditions).var(0) / corpus.conditions.var(0)
    expressions = [x[:, -EXPRESSIONS:].argmax(1) for x in (condition, corpus.conditions)]
    target = torch.arange(len(corpus)).roll(1)
    moved = mapping(corpus.latents, corpus.conditions[target], corpus.codes[target])
    moved_condition, moved_attributes, moved_codes = predictor(moved)
    return {
        "yaw_r2": float(1 - residual[0]),
        "pitch_r2": float(1 - residual[1]),
        "expression_right": float((expressions[0] == expressions[1]).float().mean()),
        "age_error_years": float(10 * (attributes[:, 0] - corpus.attributes[:, 0]).abs().mean()),
        "moved_age_change_years": float(10 * (moved_attributes[:, 0] - corpus.attributes[:, 0]).abs().mean()),
        "moved_masculinity_change": float((moved_attributes[:, 1] - corpus.attributes[:, 1]).abs().mean()),
        "moved_ancestry_change": float((moved_attributes[:, 2:7] - corpus.attributes[:, 2:7]).abs().sum(1).mean() / 2),
        "code_cosine": float(cosines(codes, corpus.codes, sizes).mean()),
        "moved_geometry_error": float(geometry(moved_condition, corpus.conditions[target])),
        "moved_expression_right": float(
            (moved_condition[:, -EXPRESSIONS:].argmax(1) == expressions[1][target]).float().mean()
        ),
        "moved_likeness_to_target": float(cosines(moved_codes, corpus.codes[target], sizes).mean()),
        "moved_likeness_to_donor": float(cosines(moved_codes, corpus.codes, sizes).mean()),
    }


def train(prepared: Prepared, *, config: MappingConfig) -> tuple[dict[str, Tensor], dict[str, str], dict[str, float]]:
    """-> tensors and metadata of the part "mapping", and the report."""
    corpus, sizes = prepared.corpus, prepared.codes.sizes
    learned, held_out = (
        corpus.part(slice(0, len(corpus) - _HELD_OUT)),
        corpus.part(slice(len(corpus) - _HELD_OUT, None)),
    )
    geometry = GeometryLoss(prepared.metric)
    predictors = [
        train_predictor(learned, sizes, geometry=geometry, seed=config.seed + k, config=config) for k in range(2)
    ]
    mapping = train_mapping(learned, predictors, sizes, geometry=geometry, config=config)
    tensors = {f"mapping.{name}": tensor for name, tensor in mapping.state_dict().items()}
    tensors |= {f"predictor.{name}": tensor for name, tensor in predictors[0].state_dict().items()}
    tensors["latent.mean"], tensors["latent.spread"] = (
        torch.from_numpy(a) for a in (prepared.latent_mean, prepared.latent_spread)
    )
    for name, (mean, basis) in prepared.codes.bases.items():
        tensors[f"codes.{name}.mean"], tensors[f"codes.{name}.basis"] = torch.from_numpy(mean), torch.from_numpy(basis)
    figures = report(held_out, predictors[0], mapping, sizes, geometry=geometry)
    return tensors, {"recognisers": " ".join(prepared.codes.bases)}, figures
