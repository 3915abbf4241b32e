from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g2face_model.networks.mapping import CONDITION, LATENT, Mapping, Predictor, cosines

SIZES = (5, 3)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Donor, condition and code of four people."""
    source = torch.Generator().manual_seed(0)
    donor, condition, code = (torch.randn(4, n, generator=source) for n in (LATENT, CONDITION, sum(SIZES)))
    return donor, condition, code


def test_cosines_are_taken_recogniser_by_recogniser() -> None:
    a = torch.tensor([[1.0, 0.0, 0.6, 0.8], [0.0, 1.0, 1.0, 0.0]])
    b = torch.tensor([[1.0, 0.0, 0.8, -0.6], [1.0, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(cosines(a, b, (2, 2)), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_cosines_refuse_codes_of_another_layout() -> None:
    with pytest.raises(RuntimeError, match="split"):
        cosines(torch.ones(1, 4), torch.ones(1, 4), (2, 3))


def test_an_untrained_mapping_returns_the_donor(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    assert torch.equal(Mapping(sum(SIZES)).eval()(*inputs), inputs[0])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_moved_latent_depends_on_donor_geometry_and_whom_to_avoid(
    inputs: tuple[Tensor, Tensor, Tensor], which: int
) -> None:
    torch.manual_seed(0)
    mapping = Mapping(sum(SIZES)).eval()
    torch.nn.init.normal_(mapping.move.last.weight, std=0.1)
    changed = [tensor.clone() for tensor in inputs]
    changed[which] += 0.5
    with torch.no_grad():
        before, after = (mapping(*values) - values[0] for values in (inputs, changed))
    assert before.shape == (4, LATENT)
    assert ((before - after).norm(dim=1) > 1e-3).all()


def test_codes_count_for_as_much_as_the_other_inputs() -> None:
    """Unit-length parts of many components are tiny per component; the gain makes up for it."""
    mapping = Mapping(256)
    code = torch.nn.functional.normalize(torch.randn(100, 256, generator=torch.Generator().manual_seed(1)), dim=1)
    assert 0.25 < float((code * mapping.code_gain).std()) < 1


def test_predicted_codes_have_parts_of_unit_length(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    condition, *others, codes = Predictor(SIZES).eval()(inputs[0])
    assert condition.shape == (4, CONDITION)
    assert all(torch.isfinite(other).all() for other in others)
    for part in torch.split(codes, list(SIZES), 1):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(4))


def test_only_training_drops_out(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    predictor = Predictor(SIZES)
    assert not torch.equal(predictor.train()(inputs[0])[0], predictor(inputs[0])[0])
    predictor.eval()
    assert torch.equal(predictor(inputs[0])[0], predictor(inputs[0])[0])
