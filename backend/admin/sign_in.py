"""The pages of signing in: password, code, OpenID provider; and of what a person signs in with."""

from __future__ import annotations

import hmac

from flask import Blueprint, flash, g, make_response, redirect, render_template, request, url_for
from flask_limiter import Limiter
from werkzeug.wrappers import Response as AnyResponse

from backend.admin import programs, words
from backend.admin.actors import ROLE_OF, Scope
from backend.admin.auth import Door, HalfwayError, UnknownCallerError
from backend.admin.frame import Answer, me
from backend.admin.openid import Provider
from backend.admin.second_factor import drawing
from backend.admin.words import gettext as _
from backend.doorway.arriving import came_by_tls
from backend.errors import ForbiddenError

RATE = "10 per minute"
HOME = "pages.overview"
BACK = "/sign-in/provider/back"
"""Where a provider sends people back to, below the admin's public address."""
STATE_COOKIE = "g2face_admin_provider"
_STATE_LASTS_S = 600
_TOKEN_DAYS = (1, 30, programs.LAST_AT_MOST.days)
_FOR_WHOEVER_IS_IN = frozenset({"account", "change_password", "issue_token", "revoke_token"})


def blueprint(door: Door, *, limiter: Limiter, provider: Provider | None = None) -> Blueprint:
    """The pages. provider: an OpenID provider whose sign-in counts as both factors."""
    pages = Blueprint("sign_in", __name__)
    pages.before_request(lambda: _admit(door))
    _add_factors(pages, door, limiter=limiter, by_provider=provider is not None)
    _add_account(pages, door, limiter=limiter)
    if provider is not None:
        _add_provider(pages, door, limiter=limiter, provider=provider)
    return pages


def admit(door: Door, *, with_any_password: bool = False) -> AnyResponse | None:
    """Let only people in who have shown both factors and have a password of their own; show others the way.

    with_any_password: a one-time password will do. Raises `UnknownCallerError` when a form was sent.
    """
    try:
        g.actor = door.person()
    except UnknownCallerError as error:
        if request.method != "GET":
            raise
        return redirect(url_for("sign_in.code" if isinstance(error, HalfwayError) else "sign_in.password"))
    if g.actor.must_change and not with_any_password:
        return redirect(url_for("sign_in.change_password"))
    return None


def _admit(door: Door) -> AnyResponse | None:
    name = (request.endpoint or "").rpartition(".")[2]
    if name not in _FOR_WHOEVER_IS_IN:
        return None
    return admit(door, with_any_password=name == "change_password")


def _add_factors(pages: Blueprint, door: Door, *, limiter: Limiter, by_provider: bool) -> None:
    @pages.get("/sign-in")
    def password() -> Answer:
        return render_template("sign_in.html", by_provider=by_provider)

    @pages.post("/sign-in")
    @limiter.limit(RATE)
    def password_now() -> Answer:
        email = request.form.get("email", "")
        try:
            door.sign_in(email, request.form.get("password", ""))
        except ForbiddenError as error:
            _flash(error)
            return render_template("sign_in.html", by_provider=by_provider, email=email), 403
        return redirect(url_for("sign_in.code"))

    @pages.get("/sign-in/code")
    def code() -> Answer:
        try:
            return _code_page(door)
        except UnknownCallerError:
            return redirect(url_for("sign_in.password"))

    @pages.post("/sign-in/code")
    @limiter.limit(RATE)
    def code_now() -> Answer:
        try:
            account = door.enter_code(request.form.get("code", ""))
        except UnknownCallerError:
            flash(_("That took too long. Begin again."), "bad")
            return redirect(url_for("sign_in.password"))
        except ForbiddenError as error:
            _flash(error)
            return _code_page(door), 403
        return redirect(url_for("sign_in.change_password" if account.must_change else HOME))

    @pages.post("/sign-out")
    def sign_out() -> Answer:
        door.leave()
        return redirect(url_for("sign_in.password"))


def _code_page(door: Door) -> str:
    """Asks for a code; of somebody without a second factor, after showing what to set it up with."""
    new = door.new_second_factor()
    if new is None:
        return render_template("second_factor.html")
    secret, address = new
    in_fours = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return render_template("second_factor_new.html", secret=in_fours, drawing=drawing(address))


def _add_account(pages: Blueprint, door: Door, *, limiter: Limiter) -> None:
    @pages.get("/account")
    def account() -> Answer:
        return _account_page(door)

    @pages.route("/account/password", methods=["GET", "POST"])
    @limiter.limit(RATE, methods=["POST"])
    def change_password() -> Answer:
        if request.method == "GET":
            return render_template("password.html")
        try:
            door.change_password(me(), current=request.form.get("current", ""), new=_new_password())
        except ForbiddenError as error:
            _flash(error)
            return render_template("password.html"), 403
        flash(_("Your password is changed. All your other sessions have ended."), "good")
        return redirect(url_for(HOME))

    @pages.post("/account/tokens")
    @limiter.limit(RATE)
    def issue_token() -> Answer:
        days = request.form.get("days", "")
        try:
            chosen = {Scope(name) for name in request.form.getlist("scope")}
            token = door.issue_token(me(), scopes=chosen, days=int(days) if days in map(str, _TOKEN_DAYS) else 0)
        except ValueError:
            return _account_page(door), 400
        except ForbiddenError as error:
            _flash(error)
            return _account_page(door), 403
        return _account_page(door, token=token)

    @pages.post("/account/tokens/<token_id>/revoke")
    def revoke_token(token_id: str) -> Answer:
        door.revoke_token(me(), token_id)
        flash(_("The token no longer works."), "good")
        return redirect(url_for("sign_in.account"))


def _account_page(door: Door, *, token: str | None = None) -> str:
    """What somebody signs in with. token: a new one, shown this once."""
    duties = {scope: role for scope, role in ROLE_OF.items() if me().may(role)}
    return render_template(
        "account.html", section="account", tokens=door.tokens(me()), duties=duties, days=_TOKEN_DAYS, token=token
    )


def _add_provider(pages: Blueprint, door: Door, *, limiter: Limiter, provider: Provider) -> None:
    @pages.get("/sign-in/provider")
    @limiter.limit(RATE)
    def to_provider() -> Answer:
        try:
            address, state = provider.begin(now=door.now())
        except ForbiddenError as error:
            _flash(error)
            return redirect(url_for("sign_in.password"))
        answer = redirect(address)
        # Not strict, unlike the session's: the provider's page sends the browser back.
        path, secure = url_for("sign_in.to_provider"), came_by_tls()
        answer.set_cookie(
            STATE_COOKIE, state, max_age=_STATE_LASTS_S, path=path, secure=secure, httponly=True, samesite="Lax"
        )
        return answer

    @pages.get(BACK)
    @limiter.limit(RATE)
    def from_provider() -> Answer:
        state, code = request.args.get("state", ""), request.args.get("code", "")
        kept = request.cookies.get(STATE_COOKIE, "")
        try:
            if not code or not hmac.compare_digest(state.encode(), kept.encode()):
                raise ForbiddenError("the provider let nobody in, or the sign-in was begun in another browser")
            someone = provider.finish(state, code=code, now=door.now())
            door.sign_in_by_provider(someone.issuer, someone.subject, verified_email=someone.verified_email)
        except ForbiddenError as error:
            _flash(error)
            answer = make_response(render_template("sign_in.html", by_provider=True), 403)
        else:
            answer = make_response(render_template("signed_in.html"))
            # A redirect would still count as the provider's, and the new cookie would not be sent along.
            answer.headers["Refresh"] = f"0; url={url_for(HOME)}"
        answer.delete_cookie(STATE_COOKIE, path=url_for("sign_in.to_provider"))
        return answer


def _flash(error: ForbiddenError) -> None:
    flash(words.sentence(str(error)), "bad")


def _new_password() -> str:
    """A new password that was typed the same both times. Raises `ForbiddenError`."""
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        raise ForbiddenError("the two new passwords differ")
    return new
