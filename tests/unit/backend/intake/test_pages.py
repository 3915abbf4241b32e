from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pictures
import pytest
from flask.testing import FlaskClient
from intake_counter import MANAGER, PASSWORD, Counter, open_counter
from s3_server import Bucket

FORM = {"recovery": "none", "pseudonym": "unlinkable", "strictness": "strict", "output_format": "webp"}


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    opened = open_counter(tmp_path)
    opened.account()
    return opened


@pytest.fixture
def client(counter: Counter) -> FlaskClient:
    return counter.signed_in()


def failed_photo(counter: Counter, project_id: str, reason: str) -> str:
    ledger, now = counter.desk.ledger, counter.clock()
    photo, _ = ledger.add_photo(project_id, origin="intake", source_sha256=reason.ljust(64, "0"), now=now)
    assert ledger.claim(photo.photo_id, revision=1, now=now, lease_s=60)
    ledger.fail(photo.photo_id, reason=reason, now=now)
    return photo.photo_id


def test_projects_are_listed_with_their_progress(counter: Counter, client: FlaskClient) -> None:
    assert "No project yet" in client.get("/").text
    project = counter.project("Waiting <b>room</b>")
    counter.clock.forward(hours=1)
    counter.project("Corridor", labelstudio_id=8, on=False)
    failed_photo(counter, project.project_id, "no")

    page = client.get("/").text

    assert "Waiting &lt;b&gt;room&lt;/b&gt;" in page
    assert "0 of 1 photos published" in page
    assert "1 failed" in page
    assert page.index("Corridor") < page.index("Waiting")  # the newest first


def test_a_policy_is_revised_and_an_unchanged_one_is_not(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    path = f"/projects/{project.project_id}/policy"

    assert "revision 2 holds" in client.post(path, data={**FORM, "retention_days": "30"}, follow_redirects=True).text
    assert "Nothing was changed" in client.post(path, data={**FORM, "retention_days": "30"}, follow_redirects=True).text

    policy = counter.desk.ledger.project(project.project_id).policy
    assert (policy.revision, policy.recovery, policy.retention_days) == (2, "none", 30)
    assert client.post(path, data={**FORM, "recovery": "maybe"}).status_code == 400


def test_a_project_is_turned_off_and_on(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    path = f"/projects/{project.project_id}/switch"

    off = client.post(path, data={"on": "no"}, follow_redirects=True).text
    assert "Anonymization is off" in off
    assert 'id="upload"' not in off
    client.post(path, data={"adopts": "yes"})

    now = counter.desk.ledger.project(project.project_id)
    assert (now.on, now.adopts) == (False, True)


def test_handing_in_works_without_a_script(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    files = [(io.BytesIO(pictures.GOOD["still.webp"]()), "a<b>.webp"), (io.BytesIO(b"text"), "b.jpg")]

    page = client.post(f"/projects/{project.project_id}/photos", data={"files": files}).text

    assert "1 of 2 photos accepted" in page
    assert "a&lt;b&gt;.webp" in page
    assert "Not a picture" in page
    assert "webp" not in client.get(f"/projects/{project.project_id}").text.replace(".webp,", "")


def test_the_script_gets_json(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    path, headers = f"/projects/{project.project_id}/photos", {"Accept": "application/json"}
    good = {"files": (io.BytesIO(pictures.GOOD["still.webp"]()), "a.webp")}

    assert client.post(path, headers=headers, data=good).json["results"][0]["photo_id"]
    refused = client.post(path, headers=headers, data={"files": (io.BytesIO(b"file"), "list.csv")})
    assert (refused.status_code, refused.json["error"]["message"]) == (400, "There was no photo among these files.")


def test_the_progress_alone_says_how_busy_it_is(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    failed_photo(counter, project.project_id, "no")
    counter.desk.ledger.add_photo(project.project_id, origin="intake", source_sha256="1" * 64, now=counter.clock())

    answer = client.get(f"/projects/{project.project_id}/progress")

    assert (answer.headers["X-Under-Way"], answer.headers["X-Failed"]) == ("1", "1")
    assert answer.text.lstrip().startswith("<div")


def test_failed_photos_are_shown_with_reasons_and_tried_again(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    photo_id = failed_photo(counter, project.project_id, "the <picture> is damaged")
    failed_photo(counter, project.project_id, "another")
    page = client.get(f"/projects/{project.project_id}").text
    assert "The &lt;picture&gt; is damaged." in page

    client.post(f"/projects/{project.project_id}/photos/{photo_id}/retry")
    assert [photo.reason for photo in counter.desk.ledger.failures(project.project_id)] == ["another"]
    client.post(f"/projects/{project.project_id}/retry")
    assert counter.desk.ledger.failures(project.project_id) == []


def test_a_photo_of_another_project_is_not_found(counter: Counter, client: FlaskClient) -> None:
    mine, other = counter.project(), counter.project(labelstudio_id=8)
    photo_id = failed_photo(counter, other.project_id, "no")

    assert client.post(f"/projects/{mine.project_id}/photos/{photo_id}/retry").status_code == 404
    assert len(counter.desk.ledger.failures(other.project_id)) == 1


def test_cancelling_deletes_the_sealed_originals(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    files = {"files": (io.BytesIO(pictures.GOOD["still.webp"]()), "a.webp")}
    client.post(f"/projects/{project.project_id}/photos", data=files)

    page = client.post(f"/projects/{project.project_id}/cancel", follow_redirects=True).text

    assert "1 photos are cancelled" in page
    assert [path for path in (counter.folder / "blobs").rglob("*") if path.is_file()] == []


def test_without_label_studio_the_pages_say_so(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()

    assert "No API key of Label Studio is set" in client.get("/projects/new").text
    refused = client.post("/projects/new", data={**FORM, "labelstudio_id": "new", "title": "Fresh"})
    assert (refused.status_code, 'value="Fresh"' in refused.text) == (400, True)
    assert 'value="none" checked' in refused.text  # what was chosen is still chosen
    check = client.post(f"/projects/{project.project_id}/leak-check")
    assert "The check could not be run" in check.text


def test_every_form_carries_its_token_and_none_works_without(counter: Counter, client: FlaskClient) -> None:
    project = counter.project()
    failed_photo(counter, project.project_id, "no")
    counter.app.config["WTF_CSRF_ENABLED"] = True
    for path in (
        "/",
        "/tokens",
        "/password",
        "/projects/new",
        *(f"/projects/{project.project_id}{tab}" for tab in ("", "/policy", "/label-studio")),
    ):
        page = client.get(path).text
        forms = re.findall(r'<form method="post".*?</form>', page, re.S)
        assert forms
        assert all('name="csrf_token"' in form for form in forms), path

    rules = [rule for rule in counter.app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    for rule in rules:
        if rule.endpoint.startswith("api."):
            continue  # a token is asked for there, which no other site's page has
        path = rule.rule.replace("<project_id>", project.project_id).replace("<photo_id>", "0" * 32)
        answer = client.post(path, data={"email": MANAGER, "password": PASSWORD, "on": "no"})
        assert answer.status_code == 400, path
        assert "too old" in answer.text
    assert counter.desk.ledger.project(project.project_id).on


def test_a_form_with_its_token_works(counter: Counter) -> None:
    client = counter.app.test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None

    form = {"email": MANAGER, "password": PASSWORD, "csrf_token": token[1]}

    assert client.post("/sign-in", data=form).status_code == 302


def test_the_policy_says_that_a_photo_without_a_found_face_is_not_published(
    counter: Counter, client: FlaskClient
) -> None:
    page = client.get(f"/projects/{counter.project().project_id}/policy").text
    assert "A photo in which no face was found is never published" in page


def test_the_pages_say_what_becomes_of_expiry_consent_and_originals(counter: Counter, client: FlaskClient) -> None:
    project = f"/projects/{counter.project().project_id}"
    policy, overview = client.get(f"{project}/policy").text, client.get(project).text

    assert "deleted by the admin's daily sweep" in policy
    assert "as a rule with the approval of another person" in policy
    assert "deleted when the subject withdraws" in overview  # the consent that a CSV names


def test_a_refusal_by_label_studio_is_told_wherever_progress_is(counter: Counter, client: FlaskClient) -> None:
    project_id = counter.project().project_id
    counter.desk.ledger.add_photo(project_id, origin="intake", source_sha256="1" * 64, now=counter.clock())
    pages = [f"/projects/{project_id}", f"/projects/{project_id}/progress"]
    assert not any("refused" in client.get(page).text for page in pages)

    counter.desk.ledger.note_refusal(project_id, "it refused to read the <project> (404)", now=counter.clock())

    for page in pages:
        told = client.get(page).text
        assert "Label Studio refused us:</strong> It refused to read the &lt;project&gt; (404)." in told
        assert "2 Mar 2026, 09:30 UTC" in told
    assert "Label Studio refuses this project" in client.get("/").text


def test_collecting_from_s3_is_offered_where_it_is_allowed(counter: Counter, bucket: Bucket) -> None:
    project = counter.project()
    path = f"/projects/{project.project_id}"
    assert "from S3" not in counter.signed_in().get(path).text
    client = counter.with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",)).signed_in()
    assert f"s3://{bucket.name}/ward/" in client.get(path).text
    bucket.put({"ward/<i>.png": pictures.GOOD["still.webp"](), "ward/<b>.txt": b"text"})

    answer = client.post(f"{path}/collection", data={"address": f"s3://{bucket.name}/ward"})

    assert answer.status_code == 302
    for _ in range(1000):
        if "not</h3>" in (page := client.get(path).text).replace("\n", ""):
            break
        time.sleep(0.02)
    assert "1 accepted, 1 not" in page
    assert "&lt;b&gt;.txt" in page
    assert "2 of 2 photos: 1 accepted, 1 refused" in client.get(f"{path}/collection").text
    assert client.get(f"{path}/progress").headers["X-Under-Way"] == "1", "the photo that waits"


def test_what_may_not_be_collected_is_told(counter: Counter) -> None:
    project = counter.project()
    client = counter.with_desk(s3_prefixes=("s3://photos/ward",)).signed_in()

    answer = client.post(f"/projects/{project.project_id}/collection", data={"address": "s3://photos/private"})

    assert answer.status_code == 400
    assert "That is not under a prefix that may be read here: s3://photos/ward." in answer.text
    assert client.post(f"/projects/{project.project_id}/collection/stop").status_code == 404
