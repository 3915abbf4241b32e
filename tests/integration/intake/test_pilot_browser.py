"""The button "Pilot report" in a real browser: pressed, followed without reloading, approved elsewhere, read."""

from __future__ import annotations

from pathlib import Path

import intake_counter
import pilot_site
from intake_counter import MANAGER, PASSWORD
from playwright.sync_api import Browser, Page, expect

from backend.ledger.records import PilotState


def test_a_manager_presses_the_button_and_reads_the_report(tmp_path: Path, browser: Browser) -> None:
    with pilot_site.running(tmp_path / "data", photos=3) as site:
        counter = intake_counter.open_counter(tmp_path / "data", clock=site.restricted.clock)
        counter.account()
        with intake_counter.served(counter) as url:
            context = browser.new_context(base_url=url, viewport={"width": 1180, "height": 860})
            complaints: list[str] = []
            context.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
            page = context.new_page()
            _sign_in(page)
            page.goto(f"/projects/{site.project.project_id}")
            page.get_by_label("Photos, drawn evenly").fill("2")
            page.get_by_role("button", name="Pilot report").click()
            card = page.locator("#pilot")
            expect(card).to_contain_text("The originals are about to be asked for.")
            expect(page.get_by_role("button", name="Pilot report")).to_have_count(0)
            (pilot,) = counter.desk.ledger.pilots(site.project.project_id)
            site.step(pilot)
            expect(card).to_contain_text("0 of 2 originals are approved", timeout=20_000)
            site.approve()
            assert site.step(pilot).state is PilotState.DONE
            expect(card).to_contain_text("2 of 2 photos were measured.", timeout=20_000)
            expect(page.get_by_role("button", name="Pilot report")).to_have_count(1)
            with context.expect_page() as opened:
                page.get_by_role("link", name="Open the report").click()
            expect(opened.value.locator("h1")).to_have_text("en: 2 of 2")
            with context.expect_page() as opened:
                page.get_by_role("link", name="日本語").click()
            expect(opened.value.locator("h1")).to_have_text("ja: 2 of 2")
            page.get_by_role("button", name="Delete the report").click()
            expect(page.locator("#pilot .pilot")).to_have_count(0)
            assert complaints == []
            context.close()
        counter.desk.ledger.close()


def _sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(MANAGER)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
