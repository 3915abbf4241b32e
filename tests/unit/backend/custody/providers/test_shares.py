"""A master key that k of n people open: any k of them, never fewer, and nobody with shares of another key."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.custody import master, seal
from backend.custody.providers import shares
from backend.custody.providers.shares import Ask, SharesProvider
from backend.custody.unseal import MasterKey
from backend.errors import MasterKeyError

PRIVATE_KEY = seal.generate_key_pair().private_key
GOLDEN = Path(__file__).parents[4] / "golden" / "master_key_shares_v1.key"
SPLIT = shares.split(threshold=2, shares=3)


class NoMoreError(Exception):
    """Somebody asked for one share too many."""


def giving(words: Sequence[str], asked: list[tuple[int, int | None]] | None = None) -> Ask:
    """Gives these shares, one after the other, and notes what it was asked."""
    left = list(words)

    def ask(given: int, needed: int | None) -> str:
        if asked is not None:
            asked.append((given, needed))
        if not left:
            raise NoMoreError
        return left.pop(0)

    return ask


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5).flatmap(lambda n: st.tuples(st.integers(2, n), st.just(n))))
def test_any_k_of_n_shares_open_and_fewer_do_not(numbers: tuple[int, int]) -> None:
    threshold, count = numbers
    made = shares.split(threshold=threshold, shares=count)
    assert len(made) == count
    assert {len(share.split()) for share in made} == {33}
    wrapped = SharesProvider(giving(made)).wrap(PRIVATE_KEY)
    for chosen in combinations(made, threshold):
        assert SharesProvider(giving(chosen)).unwrap(wrapped) == PRIVATE_KEY
    for chosen in combinations(made, threshold - 1):
        with pytest.raises(NoMoreError):
            SharesProvider(giving(chosen)).unwrap(wrapped)


def test_the_same_share_twice_counts_once() -> None:
    with pytest.raises(NoMoreError):
        SharesProvider(giving([SPLIT[0]] * 5)).wrap(PRIVATE_KEY)


def test_whoever_asks_is_told_how_many_there_are_and_shares_are_asked_for_once() -> None:
    asked: list[tuple[int, int | None]] = []
    made = shares.split(threshold=3, shares=4)
    provider = SharesProvider(giving(made, asked))
    assert provider.unwrap(provider.wrap(PRIVATE_KEY)) == PRIVATE_KEY
    assert asked == [(0, None), (1, 3), (2, 3)]


def test_shares_of_another_key_open_nothing() -> None:
    wrapped = SharesProvider(giving(SPLIT)).wrap(PRIVATE_KEY)
    other = shares.split(threshold=2, shares=3)
    with pytest.raises(MasterKeyError, match="do not open"):
        SharesProvider(giving(other)).unwrap(wrapped)
    with pytest.raises(MasterKeyError, match="do not belong together"):
        SharesProvider(giving([SPLIT[0], other[1]])).unwrap(wrapped)


def test_after_wrong_shares_the_right_ones_can_be_given() -> None:
    wrapped = SharesProvider(giving(SPLIT)).wrap(PRIVATE_KEY)
    other = shares.split(threshold=2, shares=2)
    provider = SharesProvider(giving([*other, *SPLIT]))
    with pytest.raises(MasterKeyError):
        provider.unwrap(wrapped)
    assert provider.unwrap(wrapped) == PRIVATE_KEY


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_changed_byte_of_the_file_opens(data: st.DataObject) -> None:
    provider = SharesProvider(giving(SPLIT * 2))
    wrapped = bytearray(provider.wrap(PRIVATE_KEY))
    wrapped[data.draw(st.integers(0, len(wrapped) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MasterKeyError, match="do not open"):
        provider.unwrap(bytes(wrapped))


@pytest.mark.parametrize("wrapped", [b"", b"x" * 11, b"x" * 12, b"x" * 100])
def test_what_is_no_wrapped_key_is_refused(wrapped: bytes) -> None:
    with pytest.raises(MasterKeyError, match="do not open"):
        SharesProvider(giving(SPLIT)).unwrap(wrapped)


def test_a_mistyped_share_is_named_as_such_and_not_repeated() -> None:
    first, second, *rest = SPLIT[0].split()
    wrong = (
        " ".join([second, first, *rest]),
        " ".join([first, second, *rest[:-1]]),
        " ".join([first, "secretword", *rest]),
        "",
    )
    for share in wrong:
        with pytest.raises(MasterKeyError, match="no share") as caught:
            shares.check(share)
        assert "secretword" not in str(caught.value)
        assert first not in str(caught.value).split()
        assert caught.value.__suppress_context__


def test_spaces_lines_and_capitals_do_not_matter() -> None:
    typed = "\n ".join(SPLIT[0].upper().split()) + "\n"
    shares.check(typed)
    assert SharesProvider(giving([typed, SPLIT[1]])).unwrap(SharesProvider(giving(SPLIT)).wrap(PRIVATE_KEY))


def test_a_short_secret_of_somebody_s_wallet_is_none_of_ours() -> None:
    """A 128-bit example of SLIP-39's own test vectors, 1 of 1."""
    wallet = (
        "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband erode "
        "duke ajar critical decision keyboard"
    )
    with pytest.raises(MasterKeyError, match="not of a master key"):
        SharesProvider(giving([wallet])).wrap(PRIVATE_KEY)


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 5), (0, 0), (4, 3), (2, 17), (-1, 3)])
def test_numbers_that_make_no_sense_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(MasterKeyError, match="at most 16"):
        shares.split(threshold=threshold, shares=count)


def test_the_file_shows_nothing_of_the_key(tmp_path: Path) -> None:
    provider = SharesProvider(giving(SPLIT))
    public_key = master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub", provider=provider)
    assert (tmp_path / "master.key").read_bytes().startswith(b"g2face master private key v1, wrapped by shares\n")
    assert MasterKey(tmp_path / "master.key", SharesProvider(giving(SPLIT[1:]))).public_key == public_key
    assert not hasattr(provider, "__dict__")


def test_the_golden_file_still_opens(tmp_path: Path) -> None:
    """Written once for the private key bytes(range(96)); its shares lie beside it. Not to be written anew."""
    (tmp_path / "master.key").write_bytes(GOLDEN.read_bytes())
    (tmp_path / "master.key").chmod(0o600)
    written = GOLDEN.with_suffix(".shares").read_text().splitlines()
    for chosen in combinations(written, 2):
        key = MasterKey(tmp_path / "master.key", SharesProvider(giving(chosen)))
        assert seal.key_id(key.public_key).hex() == "684b9508c57446a9"
