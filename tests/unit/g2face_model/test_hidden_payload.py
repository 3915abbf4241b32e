"""Hidden payloads: what was sealed comes back through errors, for the right key alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2face_model.errors import RecoveryError
from g2face_model.hidden_payload import CODE_BYTES, ID_BYTES, MOST_WRONG, SYMBOLS, HiddenKey, HiddenPayload

SECRET = bytes(range(32))
GOLDEN = Path(__file__).parents[2] / "golden" / "hidden_payload_v1.bin"
EXAMPLE = HiddenPayload(bytes(range(100, 116)), bytes(range(64)))
KEY = HiddenKey(SECRET)

payloads = st.builds(
    HiddenPayload,
    st.binary(min_size=ID_BYTES, max_size=ID_BYTES),
    st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES),
)
places = st.lists(st.integers(0, SYMBOLS - 1), unique=True, max_size=2 * MOST_WRONG)


def damaged(symbols: bytes, where: list[int], *, seed: int) -> bytes:
    changed = np.frombuffer(symbols, np.uint8).copy()
    changed[where] ^= np.random.default_rng(seed).integers(1, 256, len(where), dtype=np.uint8)
    return changed.tobytes()


def test_a_sealed_payload_of_version_1_is_read_for_ever() -> None:
    assert KEY.open(GOLDEN.read_bytes()) == EXAMPLE
    assert KEY.seal(EXAMPLE) == GOLDEN.read_bytes()


@given(payloads, st.lists(st.integers(0, SYMBOLS - 1), unique=True, max_size=MOST_WRONG), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_up_to_79_symbols_may_be_wrong_wherever_they_are(payload: HiddenPayload, where: list[int], seed: int) -> None:
    assert KEY.open(damaged(KEY.seal(payload), where, seed=seed)) == payload


@given(payloads, places, st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_twice_as_many_may_be_lost_when_they_are_known_to_be(
    payload: HiddenPayload, where: list[int], seed: int
) -> None:
    doubts = np.zeros(SYMBOLS)
    doubts[where] = 1
    assert KEY.open(damaged(KEY.seal(payload), where, seed=seed), doubts) == payload


@given(payloads, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_every_fiftieth_bit_may_be_wrong(payload: HiddenPayload, seed: int) -> None:
    """At this rate 15 % of the symbols are wrong, and the limit of 31 % is seven standard deviations away."""
    bits = np.unpackbits(np.frombuffer(KEY.seal(payload), np.uint8))
    bits ^= np.random.default_rng(seed).random(len(bits)) < 0.02
    assert KEY.open(np.packbits(bits).tobytes()) == payload


@given(payloads, st.binary(min_size=32, max_size=32).filter(lambda secret: secret != SECRET))
@settings(max_examples=15, deadline=None)
def test_another_key_opens_nothing(payload: HiddenPayload, secret: bytes) -> None:
    with pytest.raises(RecoveryError, match="no hidden payload"):
        HiddenKey(secret).open(KEY.seal(payload), np.linspace(0, 1, SYMBOLS))


@pytest.mark.parametrize("noise", range(5))
def test_noise_is_no_payload(noise: int) -> None:
    symbols = np.random.default_rng(noise).bytes(SYMBOLS)
    with pytest.raises(RecoveryError, match="no hidden payload"):
        KEY.open(symbols, np.linspace(0, 1, SYMBOLS))


def test_a_code_word_that_was_not_sealed_is_refused() -> None:
    """Somebody who knew the mask and the order, but not the cipher's key, could write a valid code word."""
    first, second = (KEY.seal(HiddenPayload(bytes([i] * 16), bytes(64))) for i in (1, 2))
    third = KEY.seal(HiddenPayload(bytes([3] * 16), bytes(64)))
    forged = bytes(a ^ b ^ c for a, b, c in zip(first, second, third, strict=True))  # the code is linear
    with pytest.raises(RecoveryError, match="no hidden payload"):
        KEY.open(forged)


def test_symbols_look_random_without_the_key() -> None:
    """Every bit of every place is set in about half of many payloads' symbols, and payloads that differ in one bit
    share no more symbols than chance has it."""
    sealed = [KEY.seal(HiddenPayload(i.to_bytes(16, "big"), bytes(64))) for i in range(400)]
    bits = np.unpackbits(np.frombuffer(b"".join(sealed), np.uint8).reshape(400, SYMBOLS), axis=1)
    assert abs(bits.mean() - 0.5) < 0.005
    assert bits.mean(0).min() > 0.35
    assert bits.mean(0).max() < 0.65
    same = np.frombuffer(sealed[0], np.uint8) == np.frombuffer(sealed[1], np.uint8)
    assert same.sum() < 10


def test_keys_do_not_share_an_order_or_a_mask() -> None:
    other = HiddenKey(bytes(32))
    assert other.seal(EXAMPLE) != KEY.seal(EXAMPLE)
    assert sorted(other.seal(EXAMPLE)) != sorted(KEY.seal(EXAMPLE))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HiddenKey(bytes(31)),
        lambda: HiddenPayload(bytes(15), bytes(CODE_BYTES)),
        lambda: HiddenPayload(bytes(ID_BYTES), bytes(CODE_BYTES + 1)),
        lambda: KEY.open(bytes(254)),
        lambda: KEY.open(bytes(SYMBOLS), [0.0]),
    ],
)
def test_what_has_the_wrong_size_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(RecoveryError):
        wrong()
