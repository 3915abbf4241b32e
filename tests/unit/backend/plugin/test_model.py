from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from label_studio_ml import api
from label_studio_ml.model import LabelStudioMLBase, LabelStudioMLManager
from ready_photos import LINKS, NOW, ready

from backend.errors import ConfigError
from backend.labelstudio import labels
from backend.ledger.ledger import Ledger
from backend.plugin.app import Guard
from backend.plugin.model import G2FaceModel, HostedModel, hosted_app
from backend.plugin.predictor import Predictor

CONFIG = labels.plain_config()


class MaintainedBase:
    """What of the maintained LabelStudioMLBase (2.x) a model can tell: other arguments, a cache, a setup hook."""

    cache: ClassVar[dict[tuple[str, str], str]] = {}

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        self.set("label_config", label_config or "")
        self.setup()

    def setup(self) -> None:
        raise NotImplementedError

    @property
    def label_config(self) -> str:
        return self.get("label_config")

    def get(self, key: str) -> str:
        return self.cache[self.project_id, key]

    def set(self, key: str, value: str) -> None:
        self.cache[self.project_id, key] = value


class MaintainedModel(HostedModel, MaintainedBase):
    pass


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite3")
    ready(ledger, ledger.add_project("Faces", 7, now=NOW))
    return Predictor(ledger, LINKS, model_version="g2face-1", adopt=lambda *_: None)


TASKS: list[dict[str, Any]] = [
    {"id": 1, "project": 7, "data": {"image": LINKS.address(f"{0:043}", NOW)}},
    {"id": 2, "project": 7, "data": {"image": "/data/upload/a.png"}},
]


def test_under_the_maintained_host_the_model_answers_and_tells_its_version(predictor: Predictor) -> None:
    MaintainedModel.provide = staticmethod(lambda: predictor)
    model = MaintainedModel("7.123", label_config=CONFIG)
    assert model.get("model_version") == "g2face-1"
    answers = model.predict(TASKS, context={"result": []}, login=None, password=None)
    assert [bool(answer) for answer in answers] == [True, False]
    assert model.fit("ANNOTATION_CREATED", {}) == {}


def test_under_1_0_9_the_model_answers_and_keeps_no_token(predictor: Predictor) -> None:
    G2FaceModel.provide = staticmethod(lambda: predictor)
    model = G2FaceModel(CONFIG, hostname="http://ls", access_token="deadbeef" * 5, model_version=None)
    assert isinstance(model, LabelStudioMLBase)
    assert [bool(answer) for answer in model.predict(TASKS, login=None, password=None, context=None)] == [True, False]
    assert "deadbeef" not in str(vars(model))


def test_a_model_without_predictor_says_so() -> None:
    class Bare(HostedModel, MaintainedBase):
        pass

    with pytest.raises(ConfigError):
        Bare("7.123", label_config=CONFIG)


def test_under_1_0_9s_own_manager_it_works_within_that_managers_limits(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted_app(predictor, guard=Guard())
    monkeypatch.setattr(api, "_manager", LabelStudioMLManager())
    browser = api.init_app(model_class=G2FaceModel, model_dir=str(tmp_path / "models")).test_client()
    assert browser.post("/setup", json={"project": "7.1", "schema": CONFIG}).status_code == 200
    answer = browser.post("/predict", json={"tasks": TASKS, "project": "7.1", "label_config": CONFIG})
    assert [bool(found) for found in answer.json["results"]] == [True, False]


def test_its_server_knows_no_path_secret(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="path secret"):
        hosted_app(predictor, guard=Guard(path_secret="s3cret"))


def test_its_server_writes_nothing_and_asks_for_the_password(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    browser = hosted_app(predictor, guard=Guard(user="ls", password="pw")).test_client()
    hook = {"action": "ANNOTATION_CREATED", "project": {"id": 7}, "task": {"data": {"image": "/data/anna.png"}}}
    assert browser.post("/webhook", json=hook).status_code == 401
    assert browser.post("/webhook", json=hook, auth=("ls", "pw")).status_code == 201
    assert set(tmp_path.rglob("*")) == before
