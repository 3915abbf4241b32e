"""Who does something at the admin, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from backend.accounts import Role
from backend.errors import ForbiddenError


class Scope(StrEnum):
    """What a token is for."""

    REQUEST = "admin:request"
    APPROVE = "admin:approve"
    AUDIT = "admin:audit"
    KEYS = "admin:keys"


ROLE_OF = {
    Scope.REQUEST: Role.REQUESTER,
    Scope.APPROVE: Role.APPROVER,
    Scope.AUDIT: Role.AUDITOR,
    Scope.KEYS: Role.KEY_OFFICER,
}
"""What a token of this scope can be used as, by those who have the role as well."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and what they may do now: of a token, no more than its scopes."""

    account_id: str
    roles: frozenset[Role]
    email: str = field(default="", repr=False)
    must_change: bool = False

    def may(self, role: Role) -> bool:
        """Whether they have this role."""
        return role in self.roles

    def require(self, *roles: Role) -> None:
        """Raises `ForbiddenError` unless they have one of `roles`."""
        if not self.roles & set(roles):
            raise ForbiddenError(f"this needs the role {' or '.join(role.value for role in roles)}")
