"""The way into the admin in a real browser: a phone that reads the page's QR code, and a provider on another site.

Screenshots are kept in the folder that SCREENSHOTS_DIR names, otherwise in the test's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pyotp
import pytest
from admin_console import PASSWORD, Console, address, listening, opened, served
from intake_counter import Clock
from openid_provider import honest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

JANE = ("jane-7", {"email": "jane@example.org", "email_verified": True})


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[[Page, str], None]:
    folder = Path(os.environ.get("SCREENSHOTS_DIR") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"admin-{name}.png", full_page=True) and None


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@contextmanager
def visited(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page of a browser in which nothing may be amiss: no script, style or picture that a policy stops."""
    context = browser.new_context(viewport={"width": 1180, "height": 860}, base_url=url, **options)  # type: ignore[arg-type]
    complaints: list[str] = []

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error" and line.page is not None and line.page.url.startswith(url):  # not the provider's page
            complaints.append(line.text)

    context.on("console", hear)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert complaints == []


def scanned(page: Page) -> pyotp.TOTP:
    """The phone, once its camera has seen the page."""
    picture = cv2.imdecode(np.frombuffer(page.screenshot(full_page=True), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    phone = pyotp.parse_uri(cv2.QRCodeDetector().detectAndDecode(picture)[0])
    assert isinstance(phone, pyotp.TOTP)
    return phone


def type_in(page: Page, email: str, password: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Continue").click()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_first_officer_scans_chooses_a_password_and_comes_back(
    tmp_path: Path, browser: Browser, clock: Clock, shoot: Callable[[Page, str], None], look: str
) -> None:
    """Without a script: every page is a form."""
    listener = listening()
    with opened(tmp_path, clock=clock) as console, served(console, listener) as url:
        first = console.accounts.ensure_officer(now=clock())
        assert first is not None
        with visited(browser, url, color_scheme=look, java_script_enabled=False) as page:
            page.goto("/keys")
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            shoot(page, f"sign-in-{look}")
            type_in(page, *first)
            shoot(page, f"new-phone-{look}")
            phone = scanned(page)
            page.get_by_label("Code", exact=True).fill(phone.at(clock()))
            page.get_by_role("button", name="Keep this phone").click()
            shoot(page, f"password-{look}")
            page.get_by_label("New password").fill(PASSWORD)
            page.get_by_label("The same once more").fill(PASSWORD)
            page.get_by_role("button", name="Keep this password").click()
            expect(page.get_by_role("link", name="Keys", exact=True)).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            clock.forward(seconds=60)
            type_in(page, first[0], PASSWORD)
            shoot(page, f"code-{look}")
            page.get_by_label("Code", exact=True).fill(phone.at(clock()))
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.get_by_role("link", name=first[0]).click()
            page.get_by_label("admin:audit").check()
            page.get_by_role("button", name="Make a token").click()
            token = page.locator("#token").inner_text()
            assert console.accounts.tokens.verify(token, now=clock()).scopes == {"admin:audit"}
            shoot(page, f"account-{look}")


@contextmanager
def with_provider(folder: Path, clock: Clock) -> Iterator[tuple[Console, str]]:
    """An admin at 127.0.0.1, its provider at localhost: for a browser, two sites."""
    listener = listening()
    with honest(JANE) as issuer:
        client = {"oidc_client_id": "g2face", "oidc_client_secret": "s3cret"}
        with (
            opened(folder, clock=clock, oidc_issuer=issuer, public_url=address(listener), **client) as console,
            served(console, listener) as url,
        ):
            yield console, url


def test_a_provider_on_another_site_brings_the_browser_back_signed_in(
    tmp_path: Path, browser: Browser, clock: Clock, shoot: Callable[[Page, str], None]
) -> None:
    with with_provider(tmp_path, clock) as (console, url), visited(browser, url) as page:
        console.accounts.create("jane@example.org", roles=["auditor"], now=clock())
        page.goto("/audit")
        shoot(page, "sign-in-provider")
        page.get_by_role("link", name="organisation").click()
        page.get_by_role("button", name="jane-7").click()
        page.wait_for_url(f"{url}/")
        expect(page.get_by_role("link", name="Audit log", exact=True)).to_be_visible()
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
        assert (cookies["g2face_admin"]["sameSite"], cookies["g2face_admin"]["httpOnly"]) == ("Strict", True)
        assert "g2face_admin_provider" not in cookies
        page.reload()
        expect(page.get_by_role("link", name="Audit log", exact=True)).to_be_visible()


def test_whom_the_provider_does_not_let_in_is_told(tmp_path: Path, browser: Browser, clock: Clock) -> None:
    with with_provider(tmp_path, clock) as (console, url):
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_role("link", name="organisation").click()
        page.get_by_role("button", name="Deny").click()
        expect(page.get_by_role("alert")).to_contain_text("let nobody in")
        page.get_by_role("link", name="organisation").click()
        page.get_by_role("button", name="jane-7").click()
        expect(page.get_by_role("alert")).to_contain_text("no account here")
        assert [action for action, _ in console.events()] == ["sign_in.refused.provider"]
        context.close()
