from __future__ import annotations

from dataclasses import asdict

import pytest

from backend.errors import IntakeError
from backend.intake import policies

FORM = {"recovery": "none", "pseudonym": "unlinkable", "strictness": "strict", "output_format": "webp"}


def test_a_form_gives_every_field_and_an_empty_box_means_no() -> None:
    assert policies.of_form({**FORM, "retention_days": ""}) == {
        **FORM,
        "suggest_expressions": False,
        "retention_days": None,
    }
    assert policies.of_form({**FORM, "suggest_expressions": "yes", "retention_days": " 30 "})["retention_days"] == 30


def test_what_we_propose_is_a_policy() -> None:
    assert policies.of_mapping(asdict(policies.Wishes())) == asdict(policies.Wishes())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recovery": "maybe"}, "recovery is one of: exact, none"),
        ({"output_format": ["png"]}, "output_format is one of"),
        ({"suggest_expressions": "yes"}, "true or false"),
        ({"retention_days": 0}, "1 to 36500 days"),
        ({"retention_days": True}, "1 to 36500 days"),
        ({"retention_days": 1.5}, "1 to 36500 days"),
        ({"revision": 3}, "these fields only"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(IntakeError, match=message):
        policies.of_mapping(fields)


@pytest.mark.parametrize("days", ["-1", "1e3", "٣", "many"])
def test_days_are_a_whole_number(days: str) -> None:
    with pytest.raises(IntakeError, match="whole number"):
        policies.of_form({**FORM, "retention_days": days})


def test_a_form_that_lacks_a_choice_is_refused() -> None:
    with pytest.raises(IntakeError, match="recovery is one of"):
        policies.of_form({})
