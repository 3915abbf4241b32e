"""What somebody may do, by role and by scope."""

from __future__ import annotations

import pytest

from backend.accounts import ADMIN_ROLES, Role
from backend.admin.actors import ROLE_OF, Actor, Scope
from backend.errors import ForbiddenError


def test_what_an_actor_may_is_asked_of_their_roles() -> None:
    someone = Actor("a" * 32, frozenset({Role.AUDITOR}))
    someone.require(Role.APPROVER, Role.AUDITOR)
    assert (someone.may(Role.AUDITOR), someone.may(Role.APPROVER)) == (True, False)
    with pytest.raises(ForbiddenError, match="approver or key_officer"):
        someone.require(Role.APPROVER, Role.KEY_OFFICER)
    assert "example" not in repr(Actor("a" * 32, frozenset(), "jane@example.org"))


def test_every_scope_has_a_role_of_the_admin() -> None:
    assert set(ROLE_OF) == set(Scope)
    assert set(ROLE_OF.values()) == ADMIN_ROLES
