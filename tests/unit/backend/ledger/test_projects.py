"""Projects and policies, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC

import pytest
from ledger_steps import NOW, later

from backend.errors import LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import Project


def test_a_project_comes_back_as_it_was_added(ledger: Ledger) -> None:
    added = ledger.add_project("Faces", 7, now=NOW, recovery="none", retention_days=30, output_format="webp")
    assert ledger.project(added.project_id) == added
    assert ledger.projects() == [added]
    assert ledger.project_of_labelstudio(7) == added
    assert ledger.project_of_labelstudio(8) is None
    assert added.policy.revision == 1
    assert added.created_at == NOW
    assert added.created_at.tzinfo is UTC


def test_a_label_studio_project_is_connected_once(ledger: Ledger, project: Project) -> None:
    with pytest.raises(LedgerError, match="7 is connected already"):
        ledger.add_project("Again", project.labelstudio_id, now=NOW)
    assert len(ledger.projects()) == 1


def test_a_policy_is_revised_and_its_past_kept(ledger: Ledger, project: Project) -> None:
    revised = ledger.revise_policy(project.project_id, now=later(5), strictness="strict", retention_days=9)
    assert (revised.revision, revised.strictness, revised.retention_days) == (2, "strict", 9)
    assert revised.recovery == project.policy.recovery
    assert ledger.project(project.project_id).policy == revised
    assert ledger.policy(project.project_id, 1) == project.policy
    assert ledger.policy(project.project_id, 2) == revised
    assert ledger.revise_policy(project.project_id, now=later(6), strictness="strict") == revised, "no change"
    with pytest.raises(LedgerError):
        ledger.policy(project.project_id, 3)


@pytest.mark.parametrize(
    "changes", [{"recovery": "some"}, {"output_format": "bmp"}, {"retention_days": 0}, {"revision": 9}, {"color": 1}]
)
def test_a_policy_that_cannot_be_is_refused(ledger: Ledger, project: Project, changes: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match=next(iter(changes))):
        ledger.revise_policy(project.project_id, now=NOW, **changes)
    assert ledger.project(project.project_id).policy.revision == 1


def test_a_project_is_switched(ledger: Ledger, project: Project) -> None:
    assert (project.on, project.adopts) == (True, False)
    assert ledger.switch(project.project_id, on=True, adopts=True).adopts
    off = ledger.switch(project.project_id, on=False)
    assert (off.on, off.adopts) == (False, True), "adopts stays unless it is said"
    with pytest.raises(LedgerError):
        ledger.switch("0" * 32, on=True)


def test_a_refusal_is_kept_until_it_is_over(ledger: Ledger, project: Project) -> None:
    ledger.note_refusal(project.project_id, "Label Studio refused (403)", now=later(5))
    told = ledger.project(project.project_id)
    assert (told.refusal, told.refused_at) == ("Label Studio refused (403)", later(5))
    ledger.note_refusal(project.project_id, None, now=later(6))
    assert ledger.projects() == [project]
