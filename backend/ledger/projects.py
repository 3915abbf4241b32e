"""Projects and the revisions of their policies."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any, Final, get_args

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.errors import LedgerError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import reading, writing
from backend.ledger.records import OutputFormat, Policy, Project, Pseudonym, Recovery, Strictness
from backend.ledger.tables import PolicyRow, ProjectRow

_CHANGEABLE: Final = {field.name for field in fields(Policy)} - {"project_id", "revision", "created_at"}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "recovery": get_args(Recovery),
    "pseudonym": get_args(Pseudonym),
    "strictness": get_args(Strictness),
    "output_format": get_args(OutputFormat),
}


class Projects(Book):
    """What is connected, and how its photos are anonymized."""

    def add_project(
        self,
        title: str,
        labelstudio_id: int,
        *,
        now: datetime,
        on: bool = True,
        adopts: bool = False,
        recovery: Recovery = "exact",
        pseudonym: Pseudonym = "consistent",
        strictness: Strictness = "standard",
        retention_days: int | None = None,
        suggest_expressions: bool = False,
        output_format: OutputFormat = "png",
    ) -> Project:
        """Connect a Label Studio project. Raises `LedgerError` if it is connected already."""
        policy = Policy(
            project_id=self._new_id(),
            revision=1,
            recovery=recovery,
            pseudonym=pseudonym,
            strictness=strictness,
            retention_days=retention_days,
            suggest_expressions=suggest_expressions,
            output_format=output_format,
            created_at=now,
        )
        _check(policy)
        project = Project(policy.project_id, title, labelstudio_id, on, adopts, now, policy)
        try:
            with writing(self.engine) as connection:
                row = {name: value for name, value in asdict(project).items() if name != "policy"}
                connection.execute(insert(ProjectRow).values(**row, revision=policy.revision))
                connection.execute(insert(PolicyRow).values(**asdict(policy)))
        except IntegrityError:
            raise LedgerError(f"Label Studio project {labelstudio_id} is connected already") from None
        return project

    def project(self, project_id: str) -> Project:
        """The project with its current policy."""
        with reading(self.engine) as connection:
            return rows.project(connection, project_id)

    def projects(self) -> list[Project]:
        """All projects, oldest first."""
        with reading(self.engine) as connection:
            oldest_first = select(ProjectRow.__table__).order_by(ProjectRow.created_at, ProjectRow.project_id)
            return [rows.to_project(connection, row) for row in connection.execute(oldest_first).all()]

    def project_of_labelstudio(self, labelstudio_id: int) -> Project | None:
        """The project that a Label Studio project is connected to, if it is."""
        with reading(self.engine) as connection:
            mine = select(ProjectRow.__table__).where(ProjectRow.labelstudio_id == labelstudio_id)
            row = connection.execute(mine).one_or_none()
            return None if row is None else rows.to_project(connection, row)

    def policy(self, project_id: str, revision: int) -> Policy:
        """One revision of a project's policy, current or not."""
        with reading(self.engine) as connection:
            return rows.policy(connection, project_id, revision)

    def revise_policy(self, project_id: str, *, now: datetime, **changes: Any) -> Policy:
        """The next revision, with `changes` to the fields of `Policy`; no change, no revision.

        Photos handed in before keep the revision they were handed in under; failed ones take the new one when retried.
        """
        if unknown := changes.keys() - _CHANGEABLE:
            raise LedgerError(f"a policy has no {', '.join(sorted(unknown))}")
        with writing(self.engine) as connection:
            current = rows.project(connection, project_id).policy
            if replace(current, **changes) == current:
                return current
            policy = replace(current, **changes, revision=current.revision + 1, created_at=now)
            _check(policy)
            moved = connection.execute(
                update(ProjectRow)
                .where(ProjectRow.project_id == project_id, ProjectRow.revision == current.revision)
                .values(revision=policy.revision)
            )
            if moved.rowcount != 1:
                raise LedgerError("someone else revised this policy at the same time")
            connection.execute(insert(PolicyRow).values(**asdict(policy)))
        return policy

    def switch(self, project_id: str, *, on: bool, adopts: bool | None = None) -> Project:
        """Turn anonymization, and with `adopts` the taking over of Label Studio's own tasks, on or off.

        While it is off, photos stay where they are.
        """
        values = {"on": on} if adopts is None else {"on": on, "adopts": adopts}
        with writing(self.engine) as connection:
            connection.execute(update(ProjectRow).where(ProjectRow.project_id == project_id).values(**values))
            return rows.project(connection, project_id)

    def note_refusal(self, project_id: str, reason: str | None, *, now: datetime) -> None:
        """Label Studio will take nothing for this project, and why; None once it does again."""
        values = {"refusal": reason, "refused_at": None if reason is None else now}
        with writing(self.engine) as connection:
            connection.execute(update(ProjectRow).where(ProjectRow.project_id == project_id).values(**values))


def _check(policy: Policy) -> None:
    for name, choices in _CHOICES.items():
        if getattr(policy, name) not in choices:
            raise LedgerError(f"{name} must be one of {', '.join(choices)}")
    if policy.retention_days is not None and policy.retention_days < 1:
        raise LedgerError("retention_days must be 1 or more, or nothing at all")
