"""What the console says, in English or Japanese, and how it writes times and states.

Messages are English in the code; `translations/ja.po` holds the other language and is read as it is: nothing compiled
can be older than its source.
"""

from __future__ import annotations

import gettext as catalogs
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from io import BytesIO

from babel.core import negotiate_locale
from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from flask import g
from flask import request as asked

from backend.accounts import Role
from backend.custody.records import RecoveryRequest, RequestState, WithdrawalState

FILTERS = ("capital", "faces", "moment", "number", "role", "sentence", "state", "tone")
"""What the templates call."""
LANGUAGES = {"en": "English", "ja": "日本語"}
COOKIE = "g2face_admin_language"
_LOCALES = {"en": "en_GB", "ja": "ja"}
_MOMENTS = {"en": "d MMM y, HH:mm 'UTC'", "ja": "y年M月d日 HH:mm 'UTC'"}


def later(message: str) -> str:
    """`message` as it is, marked for translation where it is shown."""
    return message


_STATES: dict[str, tuple[str, str]] = {
    RequestState.OPEN: (later("Waits for approval"), "working"),
    RequestState.APPROVED: (later("Ready to retrieve"), "ready"),
    RequestState.REFUSED: (later("Refused"), "failed"),
    RequestState.CANCELLED: (later("Cancelled"), "cancelled"),
    RequestState.RETRIEVED: (later("Retrieved"), "published"),
    RequestState.EXPIRED: (later("Expired"), "cancelled"),
    WithdrawalState.PENDING: (later("Grace period"), "careful"),
    WithdrawalState.SHREDDED: (later("Shredded"), "published"),
}
_ROLES: dict[Role, str] = {
    Role.MANAGER: later("Project manager"),
    Role.REQUESTER: later("Requester"),
    Role.APPROVER: later("Approver"),
    Role.AUDITOR: later("Auditor"),
    Role.KEY_OFFICER: later("Key officer"),
}


_TOLD_ELSEWHERE = (  # messages of other rooms' errors that people here may meet, as `sentence` writes them
    later("A dispute is decided once its original was retrieved."),
    later("A password has at least 12 characters."),
    later("A recovery names at least one of the photo's faces by its number."),
    later("A request is approved by somebody else than who made it."),
    later("A request of your own is cancelled, not refused."),
    later("A second person has to approve this request first."),
    later("A token is for at least one duty, and 1 to 90 days."),
    later("Choose at least one of the photo's faces."),
    later("Choose how the dispute ended."),
    later("Label Studio could not be reached to add a note to the task."),
    later("Label Studio could not be reached to list the tasks."),
    later("Label Studio could not be reached to read the task's annotations."),
    later("More people have to approve now: make a new request."),
    later("No original of this subject is kept any more."),
    later("No original of this subject is kept."),
    later("Paste the address of a Label Studio task, or its number."),
    later("Sign in first."),
    later("The new password is the old one."),
    later("The provider could not be reached, or said something that is not understood."),
    later("The provider let nobody in, or the sign-in was begun in another browser."),
    later("The second factor was set up elsewhere meanwhile: sign in again."),
    later("The subject has withdrawn and their key is destroyed."),
    later("The subject has withdrawn consent, so nothing of them is opened."),
    later("The task is not in Label Studio any more, so the decision cannot be noted there."),
    later("The two new passwords differ."),
    later("There is no account here for whom the provider has signed in."),
    later("There is no such request."),
    later("There is no such token."),
    later("This account has no role here."),
    later("This account is off."),
    later("This account was made or changed outside the admin: its roles have to be given here."),
    later("This is for whoever made the request alone."),
    later("This is not the code: look at the phone's clock and try the next one."),
    later("This photo has no anonymized image yet."),
    later("This sign-in took too long: begin again."),
    later("This task has no photo that was anonymized here."),
    later("What the provider said cannot be believed."),
    later("Whoever saw the original decides."),
    later("Wrong code, or one that was used already, or too many wrong ones: then wait."),
    later("Wrong e-mail address or password, or too many wrong ones: then wait five minutes."),
    later("You have approved this request; it needs one more."),
)


def language() -> str:
    """The language of this request's answer: as chosen before, otherwise as the browser prefers."""
    if "language" not in g:
        chosen = asked.cookies.get(COOKIE)
        wished = [*asked.accept_languages.values(), "en"]
        g.language = chosen if chosen in LANGUAGES else negotiate_locale(wished, LANGUAGES, sep="-")
    return str(g.language)


def gettext(message: str) -> str:
    """`message` in the language of this request's answer."""
    return catalog(language()).gettext(message)


def ngettext(one: str, several: str, count: int) -> str:
    """`one` or `several`, as `count` asks for, in the language of this request's answer."""
    return catalog(language()).ngettext(one, several, count)


@cache
def catalog(code: str) -> catalogs.NullTranslations:
    """A language's translations; English needs none."""
    if code == "en":
        return catalogs.NullTranslations()
    source, compiled = resources.files("backend.admin") / "translations" / f"{code}.po", BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return catalogs.GNUTranslations(compiled)


def number(value: int) -> str:
    """1234567 as 1,234,567."""
    return format_decimal(value, locale=_LOCALES[language()])


def moment(at: datetime) -> str:
    """A point in time, to the minute, in UTC."""
    return format_datetime(at.astimezone(UTC), _MOMENTS[language()], locale=_LOCALES[language()])


def state(value: str) -> str:
    """What a state of a request or a withdrawal is called."""
    return gettext(_STATES[value][0])


def tone(value: str) -> str:
    """The colour of a state, as the stylesheet calls it."""
    return _STATES[value][1]


def role(value: Role) -> str:
    """What a role is called."""
    return gettext(_ROLES[value])


def capital(text: str) -> str:
    """`text` beginning with a capital."""
    return f"{text[:1].upper()}{text[1:]}"


def sentence(text: str) -> str:
    """An error's message as a sentence, translated where there is a translation."""
    return gettext(f"{capital(text).removesuffix('.')}.")


def faces(request: RecoveryRequest) -> str:
    """The numbers under which people know a request's faces: from 1."""
    return ", ".join(str(index + 1) for index in request.face_indices)
