"""What our predictions call things in a labelling configuration: ours, or a project's own that has the same parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import ConfigError

IMAGE, BOX, LANDMARKS, EXPRESSION, IMAGE_OK = "img", "box", "kp", "expression", "image_ok"
FACE_LABEL = "face"
# iBUG order; right and left are the person's own, so "right" comes first: it is on the left of the picture.
GROUPS = (
    ("jaw", 17),
    ("right_brow", 5),
    ("left_brow", 5),
    ("nose", 9),
    ("right_eye", 6),
    ("left_eye", 6),
    ("outer_lip", 12),
    ("inner_lip", 8),
)
POINT_GROUPS = tuple(name for name, count in GROUPS for _ in range(count))
POINT_NAMES = tuple(f"p{index:02}" for index in range(len(POINT_GROUPS)))
# The engine's version, and its expressions in its order. Its modules load torch, so they are repeated; tests compare.
MODEL_VERSION = "g2face-1"
EXPRESSIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
_SYNONYMS = {
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "afraid": "fearful",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}
_ENOUGH_EXPRESSIONS = 3
_DATA_KEY = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a prediction's parts go in one labelling configuration.

    image, box, landmarks, expression: names of controls; expression is None where none is asked for. data_key: the
    key of the task's data that holds the photo's address. point_labels: for each of the 68 points, the label it gets.
    expression_labels: pairs of our expression and the label it has there.
    """

    image: str
    data_key: str
    box: str
    face_label: str
    landmarks: str
    point_labels: tuple[str, ...]
    expression: str | None
    expression_labels: tuple[tuple[str, str], ...]

    def expression_label(self, expression: str) -> str | None:
        """The label for one of EXPRESSIONS, None where the configuration has no such choice."""
        return dict(self.expression_labels).get(expression)


def expression_config() -> str:
    """Our labelling configuration for expressions, as XML."""
    return _packaged("expression.xml")


def plain_config() -> str:
    """Our labelling configuration that asks for nothing beyond faces and landmarks, as XML."""
    return _packaged("plain.xml")


def fit(label_config: str) -> Fit:
    """Find the parts we need in a labelling configuration. Names are free; tags and labels decide.

    Raises ConfigError with a sentence for the project manager that says what is missing.
    """
    root = _parse(label_config)
    images = [tag for tag in _tags(root, "Image") if tag.get("name") and _data_key(tag)]
    if not images:
        raise ConfigError('The labelling configuration shows no image: it needs <Image name="img" value="$image"/>.')
    lacking: list[str] = []
    for image in images:
        found, missing = _fit_image(root, image)
        if found is not None:
            return found
        lacking = lacking or missing
    raise ConfigError(f"The labelling configuration lacks {' and '.join(lacking)}.")


def _fit_image(root: Element, image: Element) -> tuple[Fit | None, list[str]]:
    name = image.get("name", "")
    box = _box(root, name)
    landmarks = _landmarks(root, name)
    missing = []
    if box is None:
        missing.append(f'<RectangleLabels name="{BOX}" toName="{name}"> with the label "{FACE_LABEL}" for face boxes')
    if landmarks is None:
        groups = ", ".join(f'"{group}"' for group, _ in GROUPS)
        missing.append(f'<KeyPointLabels name="{LANDMARKS}" toName="{name}"> with the labels {groups} for landmarks')
    if box is None or landmarks is None:
        return None, missing
    expression, expression_labels = _expression(root, name)
    return Fit(name, _data_key(image) or "", *box, *landmarks, expression, expression_labels), []


def _box(root: Element, image: str) -> tuple[str, str] | None:
    for control in _controls(root, "RectangleLabels", image):
        label = _labels(control, "Label").get(FACE_LABEL)
        if label is not None:
            return control.get("name", ""), label
    return None


def _landmarks(root: Element, image: str) -> tuple[str, tuple[str, ...]] | None:
    for control in _controls(root, "KeyPointLabels", image):
        labels = _labels(control, "Label")
        for wanted in (POINT_GROUPS, POINT_NAMES):
            if labels.keys() >= set(wanted):
                return control.get("name", ""), tuple(labels[name] for name in wanted)
    return None


def _expression(root: Element, image: str) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    for control in _controls(root, "Choices", image):
        if control.get("perRegion", "").lower() != "true" or control.get("choice", "single").startswith("multiple"):
            continue
        choices = {_SYNONYMS.get(name, name): label for name, label in _labels(control, "Choice").items()}
        found = tuple((name, choices[name]) for name in EXPRESSIONS if name in choices)
        if len(found) >= _ENOUGH_EXPRESSIONS:
            return control.get("name", ""), found
    return None, ()


def _labels(control: Element, tag: str) -> dict[str, str]:
    """Lower-case name -> the word that results carry: the alias where there is one."""
    found = {}
    for label in _tags(control, tag):
        result = label.get("alias") or label.get("value") or ""
        for name in (label.get("value"), label.get("alias")):
            if name:
                found[name.strip().lower().replace(" ", "_")] = result
    return found


def _controls(root: Element, tag: str, image: str) -> Iterator[Element]:
    return (found for found in _tags(root, tag) if found.get("toName") == image and found.get("name"))


def _tags(root: Element, tag: str) -> Iterator[Element]:
    # Label Studio does not mind how a tag is capitalised.
    return (found for found in root.iter() if isinstance(found.tag, str) and found.tag.lower() == tag.lower())


def _data_key(image: Element) -> str | None:
    match = _DATA_KEY.fullmatch(image.get("value", ""))
    return match[1] if match else None


def _parse(label_config: str) -> Element:
    try:
        root: Element = fromstring(label_config)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ConfigError("The labelling configuration is not well-formed XML.") from error
    return root


def _packaged(name: str) -> str:
    return (resources.files("label_studio_config") / name).read_text(encoding="utf-8")
