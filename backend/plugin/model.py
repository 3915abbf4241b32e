"""The same predictor hosted by label_studio_ml, for those who run their ML backends with it.

Two kinds of label_studio_ml are about: 1.0.9, the newest that is published as a package, and the maintained one (2.x),
which is not. They construct models differently; `HostedModel` serves both. 1.0.9's own server has faults that cost
annotators duplicate predictions and write tasks to disk, so `hosted_app` puts a manager without them into it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from flask import Flask, Response, jsonify
from label_studio_ml import api as host  # type: ignore[import-untyped]
from label_studio_ml.model import (  # type: ignore[import-untyped]
    LabelStudioMLBase,
    LabelStudioMLManager,
    ModelWrapper,
)

from backend.errors import ConfigError
from backend.plugin.app import Guard, guard_requests, take_hint
from backend.plugin.predictor import Predictor, Task


class HostedModel:
    """What comes before a `LabelStudioMLBase` among a model's bases. `provide` gives the predictor to ask."""

    provide: ClassVar[Callable[[], Predictor]]

    def __init__(self, *positional: Any, **named: Any) -> None:
        # Someone else's token, which the host would keep for as long as the model lives.
        named.pop("access_token", None)
        signature = inspect.signature(super().__init__)
        bound = signature.bind(*positional, **named)
        self._labels: str = bound.arguments.get("label_config") or ""
        super().__init__(*positional, **named)

    def setup(self) -> None:
        """Called by the maintained host for every new model: tell Label Studio which version we are."""
        keep = getattr(self, "set", None)
        if keep is not None:
            keep("model_version", self._predictor().model_version)

    def predict(self, tasks: Sequence[Task], context: object = None, **_: object) -> list[Any]:  # noqa: ARG002
        """One answer per task, as `Predictor.predict`."""
        return self._predictor().predict(tasks, self._labels)

    def fit(self, *_: object, **__: object) -> dict[str, Any]:
        """Nothing is learned from annotations."""
        return {}

    @classmethod
    def _predictor(cls) -> Predictor:
        if not hasattr(cls, "provide"):
            raise ConfigError("the hosted model was given no predictor")
        return cls.provide()


class G2FaceModel(HostedModel, LabelStudioMLBase):  # type: ignore[misc]
    """The model to give to label_studio_ml's `init_app`, after `provide` was set on it."""


class _Manager(LabelStudioMLManager):  # type: ignore[misc]
    """1.0.9's manager without what is wrong with it: it knows its version, keeps no state between requests, so that
    any number of projects and processes will do, and a webhook neither forks nor writes the tasks to disk."""

    @classmethod
    def fetch(cls, project: object = None, label_config: str | None = None, *_: object, **__: object) -> ModelWrapper:  # noqa: ARG003
        model = cls.model_class(label_config=label_config)
        return ModelWrapper(model=model, model_version=model.provide().model_version)

    @classmethod
    def predict(
        cls, tasks: Sequence[Task], project: object = None, label_config: str | None = None, *_: object, **__: object
    ) -> tuple[list[Any], ModelWrapper]:
        wrapper = cls.fetch(project, label_config)
        return wrapper.model.predict(tasks), wrapper

    @classmethod
    def webhook(cls, event: str, data: dict[str, Any]) -> dict[str, Any]:
        take_hint(cls.model_class.provide(), {**data, "action": event})
        return {}

    @classmethod
    def train(cls, *_: object, **__: object) -> None:
        return

    @classmethod
    def _get_models_from_workdir(cls, project: object) -> list[str]:  # noqa: ARG003
        return [cls.model_class.provide().model_version]


def hosted_app(predictor: Predictor, *, guard: Guard) -> Flask:
    """label_studio_ml 1.0.9's server with our predictor behind it and `guard` before it; a path secret cannot be had
    here. It has one application per process, so the last call decides what it answers.

    Raises ConfigError when the guard asks for a path secret.
    """
    if guard.path_secret:
        raise ConfigError("label_studio_ml's server has no path secret: use user and password")
    logging.getLogger("label_studio_ml").setLevel(logging.WARNING)  # below, it logs bodies with tokens in them
    G2FaceModel.provide = staticmethod(lambda: predictor)
    host._manager = _Manager()
    app: Flask = host.init_app(model_class=G2FaceModel)
    app.config["GUARD"] = guard_requests(guard)
    if "versions" not in app.view_functions:
        app.before_request(lambda: app.config["GUARD"]())
        app.add_url_rule("/versions", "versions", _versions)  # 1.0.9 answers POST alone, Label Studio asks with GET
    return app


def _versions() -> Response:
    return jsonify(versions=host._manager._get_models_from_workdir(None))
