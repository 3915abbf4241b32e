"""Keyed hashes of subjects: the same for the same person, and nothing to whoever lacks the key."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st
from sealed_photos import PROJECT, SUBJECT

from backend.custody.pseudonyms import pseudonym
from backend.custody.records import SubjectRef

KEY = b"k" * 32
subjects = st.builds(
    SubjectRef,
    st.sampled_from([PROJECT, "c" * 32]),
    st.text(st.characters(codec="utf-8"), min_size=1).filter(str.isprintable),
)


def test_it_is_the_documented_hash() -> None:
    parts = [b"g2face pseudonym v1", PROJECT.encode(), SUBJECT.subject_id.encode()]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert pseudonym(KEY, SUBJECT) == hmac.new(KEY, message, hashlib.sha256).hexdigest()


@given(subjects, subjects)
def test_different_subjects_have_different_pseudonyms(one: SubjectRef, other: SubjectRef) -> None:
    assert (pseudonym(KEY, one) == pseudonym(KEY, other)) == (one == other)


def test_another_key_gives_another_pseudonym() -> None:
    assert pseudonym(b"K" * 32, SUBJECT) != pseudonym(KEY, SUBJECT)
