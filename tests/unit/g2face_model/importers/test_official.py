from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from official_weights import drawn, filled
from torch import Tensor

from g2face_model.errors import WeightsError
from g2face_model.importers.official import G2FACE, import_arcface, import_coefficients, import_g2face
from g2face_model.networks.official.coefficients import Coefficients


def _file(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def recon() -> dict[str, Tensor]:
    return drawn(Coefficients, 1)


def _fault(**changed: Any) -> str:
    """What is said of a checkpoint with nothing but a changed map_2_id, less that the others are missing."""
    tensors = {**filled("map_2_id"), **{name.replace("__", "."): value for name, value in changed.items()}}
    with pytest.raises(WeightsError) as caught:
        import_g2face(_file({"map_2_id": {name: value for name, value in tensors.items() if value is not None}}))
    faults = str(caught.value).split("; ")
    assert set(faults) >= {f"{module} is missing" for module in G2FACE if module != "map_2_id"}
    return "; ".join(fault for fault in faults if not fault.endswith("is missing"))


def test_a_file_that_fits_gives_its_tensors_and_says_what_else_it_held(recon: dict[str, Tensor]) -> None:
    imported = import_coefficients(_file({"net_recon": recon, "opt_00": {"lr": 0.1}, "sched_00": {}}))
    assert imported.passed_over == ("opt_00", "sched_00")
    assert imported.tensors.keys() == recon.keys()
    assert all(torch.equal(tensor, recon[name]) for name, tensor in imported.tensors.items())


def test_half_precision_becomes_single_and_counters_may_be_absent(recon: dict[str, Tensor]) -> None:
    """Files of before torch 0.4.1 have none."""
    old = {name: tensor.half() for name, tensor in recon.items() if not name.endswith("num_batches_tracked")}
    imported = import_coefficients(_file({"net_recon": old}))
    assert imported.tensors.keys() == old.keys()
    assert {tensor.dtype for tensor in imported.tensors.values()} == {torch.float32}
    Coefficients().load_state_dict(imported.tensors)


def test_a_checkpoint_without_modules_lists_them_all() -> None:
    with pytest.raises(WeightsError) as caught:
        import_g2face(_file({"g_ema": {}}))
    assert str(caught.value) == "; ".join(f"{module} is missing" for module in G2FACE)


def test_what_does_not_fit_is_named() -> None:
    assert _fault() == ""
    assert _fault(map_2_id__0__bias=None) == "map_2_id lacks map_2_id.0.bias"
    assert _fault(map_2_id__9__bias=torch.zeros(1)) == "map_2_id holds map_2_id.9.bias, which the network has not"
    assert _fault(map_2_id__2__weight=torch.zeros(512, 256)) == (
        "map_2_id has the wrong map_2_id.2.weight ((512, 256) instead of (512, 512))"
    )
    assert _fault(map_2_id__0__bias=torch.zeros(512, dtype=torch.int64)) == (
        "map_2_id has the wrong map_2_id.0.bias (torch.int64 instead of torch.float32)"
    )
    assert _fault(map_2_id__0__bias=torch.full((512,), torch.nan)) == (
        "map_2_id has the wrong map_2_id.0.bias (not all of it numbers)"
    )
    assert _fault(map_2_id__0__bias=[0.0] * 512) == "map_2_id has the wrong map_2_id.0.bias (no tensor)"


def test_many_faults_are_counted() -> None:
    with pytest.raises(WeightsError, match=r"^arcface lacks conv1.weight, bn1.weight, bn1.bias and 393 more$"):
        import_arcface(_file({}))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    for data in (_file({"net_recon": Trap()}), pickle.dumps(Trap(), protocol=2)):
        with pytest.raises(WeightsError, match="wants more than tensors"):
            import_coefficients(data)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"no checkpoint", _file({"net_recon": 1})[:-9]])
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError, match="it is no checkpoint"):
        import_coefficients(data)


def test_a_list_is_no_checkpoint_of_named_tensors() -> None:
    with pytest.raises(WeightsError, match="named tensors"):
        import_arcface(_file([torch.zeros(1)]))
