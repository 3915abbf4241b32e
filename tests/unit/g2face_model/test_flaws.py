from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from painted_skin import LIGHT_SKIN, SIZE, skin

from g2face_model.flaws import foreign_shade, lost_detail, noticed, strands
from g2face_model.masks import outline_mask
from g2face_model.types import FaceMesh, Floats


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return drawn_mesh(SIZE)


@pytest.fixture(scope="module")
def weight(mesh: FaceMesh) -> Floats:
    return outline_mask(mesh, SIZE, forehead=0.25)


def test_a_blurred_face_has_lost_detail_and_a_sharper_one_has_not(weight: Floats) -> None:
    sharp = skin(LIGHT_SKIN, 0)
    sharp[80:84, 60:130] = 0.1
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 2.0), np.float32)
    assert lost_detail(soft, sharp, weight) > 0.4
    assert lost_detail(sharp, soft, weight) == 0
    assert lost_detail(sharp, sharp, weight) == pytest.approx(0, abs=1e-6)


def test_a_shadow_of_its_own_is_foreign_and_plain_darkness_is_not(weight: Floats) -> None:
    original = skin(LIGHT_SKIN, 0)
    shadow = original.copy()
    shadow[:, : SIZE // 2] *= 0.6
    assert foreign_shade(original * np.float32(0.7), original, weight, width_px=90) < 0.02
    assert foreign_shade(shadow, original, weight, width_px=90) > 0.15


def with_strands(picture: Floats, mesh: FaceMesh, *, vertex: int) -> Floats:
    """Dark strokes around a vertex."""
    drawn = picture.copy()
    x, y = mesh.points[vertex, :2].round().astype(int)
    for shift in range(-12, 13, 6):
        cv2.line(drawn, (int(x + shift), int(y - 9)), (int(x + shift + 3), int(y + 3)), (0.2, 0.15, 0.1), 2)
    return drawn


def test_strands_on_a_bare_forehead_are_seen_and_a_beard_is_none(mesh: FaceMesh, weight: Floats) -> None:
    bare = skin(LIGHT_SKIN, 0, contrast=0.02)
    fringed, bearded = (with_strands(bare, mesh, vertex=vertex) for vertex in (151, 152))
    assert strands(bare, bare, weight, mesh) == 0
    assert strands(fringed, bare, weight, mesh) > 0.4
    assert strands(bearded, bare, weight, mesh) < 0.05
    assert strands(bare, fringed, weight, mesh) == 0
    assert strands(fringed, fringed, weight, mesh) < 0.05


def test_a_forehead_that_is_not_replaced_says_nothing(mesh: FaceMesh, weight: Floats) -> None:
    bare, chin = skin(LIGHT_SKIN, 0, contrast=0.02), weight.copy()
    chin[: int(mesh.points[4, 1])] = 0
    assert strands(with_strands(bare, mesh, vertex=151), bare, chin, mesh) == 0


def test_every_flaw_is_noticed_and_none_in_the_original_itself(mesh: FaceMesh, weight: Floats) -> None:
    original = skin(LIGHT_SKIN, 0)
    original[80:84, 60:130] = 0.1
    soft = np.asarray(cv2.GaussianBlur(original, (0, 0), 3.0), np.float32)
    shaded, fringed = original.copy(), with_strands(original, mesh, vertex=151)
    shaded[:, : SIZE // 2] *= 0.6

    def odd(generated: Floats) -> float:
        return noticed(generated, original, replaced=weight, skin=weight, mesh=mesh)

    assert odd(original) == pytest.approx(0, abs=1e-3)
    assert min(odd(soft), odd(shaded)) > 1
    assert odd(fringed) > odd(original)
