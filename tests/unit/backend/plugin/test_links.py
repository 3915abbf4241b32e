from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ready_photos import NOW

from backend.plugin.links import Links, Standing

KEY = "a-Z_0" * 8
LINKS = Links("http://images.example:9090/plugin/", b"k" * 32)


def _parts(address: str) -> tuple[str, str, str]:
    parts = urlsplit(address)
    fields = parse_qs(parts.query)
    return parts.path.rpartition("/")[2], fields["e"][0], fields["s"][0]


def _check(links: Links, address: str, *, later: timedelta = timedelta()) -> Standing:
    key, expiry, signature = _parts(address)
    return links.check(key, expiry=expiry, signature=signature, now=NOW + later)


def test_an_address_holds_the_key_and_is_good_for_ever() -> None:
    address = LINKS.address(KEY, NOW)
    assert address.startswith(f"http://images.example:9090/plugin/images/{KEY}?")
    assert LINKS.image_key(address) == KEY
    assert LINKS.host == "images.example:9090"
    assert _check(LINKS, address, later=timedelta(days=9999)) is Standing.GOOD


def test_an_address_lapses_to_the_second_and_still_says_whose_it_is() -> None:
    links = Links("http://images.example", b"k" * 32, lifetime_s=60)
    address = links.address(KEY, NOW)
    assert _check(links, address, later=timedelta(seconds=59)) is Standing.GOOD
    assert _check(links, address, later=timedelta(seconds=60)) is Standing.LAPSED
    assert links.image_key(address) == KEY


@pytest.mark.parametrize("part", ["key", "expiry", "signature"])
def test_no_part_can_be_changed(part: str) -> None:
    key, expiry, signature = _parts(Links("http://i.example", b"k" * 32, lifetime_s=60).address(KEY, NOW))
    if part == "key":
        key = "b" + key[1:]
    elif part == "expiry":
        expiry = str(int(expiry) + 1)
    else:
        signature = ("1" if signature[0] == "0" else "0") + signature[1:]
    assert LINKS.check(key, expiry=expiry, signature=signature, now=NOW) is Standing.FORGED


def test_another_secret_makes_another_signature() -> None:
    other = Links("http://images.example:9090/plugin", b"l" * 32)
    assert _check(other, LINKS.address(KEY, NOW)) is Standing.FORGED
    assert other.image_key(LINKS.address(KEY, NOW)) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/data/upload/3/a.png",
        f"http://evil.example:9090/plugin/images/{KEY}?e=0&s=0",
        f"http://images.example:9090/images/{KEY}?e=0&s=0",
        f"http://images.example:9090/plugin/images/{KEY}",
        "http://images.example:9090/plugin/images/../x?e=0&s=0",
    ],
)
def test_other_addresses_have_no_key(address: str) -> None:
    assert LINKS.image_key(address) is None


def test_a_host_that_begins_like_ours_is_not_ours() -> None:
    links = Links("http://images.example", b"k" * 32)
    forged = links.address(KEY, NOW).replace("images.example", "images.example.evil.example", 1)
    assert links.image_key(forged) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Links("http://images.example", b"k" * 15)


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=60))
def test_whatever_is_given_is_judged(key: str, expiry: str, signature: str) -> None:
    assert LINKS.check(key, expiry=expiry, signature=signature, now=NOW) is Standing.FORGED
    assert LINKS.image_key(f"http://images.example:9090/plugin/images/{key}?e={expiry}&s={signature}") is None
