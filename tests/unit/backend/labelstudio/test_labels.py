import pytest

from backend.errors import ConfigError
from backend.labelstudio import labels
from g2face_model.config import MODEL_VERSION
from g2face_model.expression import EXPRESSIONS

_OWN = """
<View>
  <Text name="note" value="$note"/>
  <image name="picture" value="$photo_url"/>
  <RectangleLabels name="people" toName="picture"><Label value="Hand"/><Label value="Face"/></RectangleLabels>
  <KeyPointLabels name="points" toName="picture">{points}</KeyPointLabels>
  <Choices name="mood" toName="picture" perRegion="true">
    <Choice value="Happiness" alias="joyful"/><Choice value="Anger"/><Choice value="Sadness"/><Choice value="bored"/>
  </Choices>
</View>
"""
_NUMBERED = "".join(f'<Label value="{name}"/>' for name in labels.POINT_NAMES)
_GROUPED = "".join(f'<Label value="{name}"/>' for name, _ in labels.GROUPS)


def test_expressions_are_the_engines() -> None:
    assert labels.EXPRESSIONS == EXPRESSIONS


def test_the_version_is_the_engines() -> None:
    assert labels.MODEL_VERSION == MODEL_VERSION


def test_the_groups_are_the_68_points() -> None:
    assert len(labels.POINT_GROUPS) == len(labels.POINT_NAMES) == 68
    assert labels.POINT_GROUPS.index("right_eye") == 36
    assert labels.POINT_GROUPS[60:] == ("inner_lip",) * 8


def test_our_configuration_for_expressions_fits() -> None:
    found = labels.fit(labels.expression_config())
    assert (found.image, found.data_key, found.box, found.landmarks) == ("img", "image", "box", "kp")
    assert found.expression == "expression"
    assert [name for name, _ in found.expression_labels] == list(EXPRESSIONS)
    assert found.point_labels == labels.POINT_GROUPS


def test_our_plain_configuration_fits_and_asks_for_no_expression() -> None:
    found = labels.fit(labels.plain_config())
    assert found.box == "box"
    assert found.expression is None
    assert found.expression_label("happy") is None


def test_a_projects_own_names_synonyms_and_aliases_are_found() -> None:
    found = labels.fit(_OWN.format(points=_NUMBERED))
    assert (found.image, found.data_key) == ("picture", "photo_url")
    assert (found.box, found.face_label) == ("people", "Face")
    assert found.point_labels == labels.POINT_NAMES
    assert found.expression == "mood"
    assert found.expression_label("happy") == "joyful"
    assert found.expression_label("angry") == "Anger"
    assert found.expression_label("neutral") is None


def test_of_two_images_the_one_with_the_controls_is_taken() -> None:
    twice = _OWN.format(points=_GROUPED).replace("<Text", '<Image name="before" value="$before"/><Text')
    assert labels.fit(twice).image == "picture"


def test_choices_for_the_whole_image_are_not_about_a_face() -> None:
    whole = _OWN.format(points=_GROUPED).replace('perRegion="true"', "")
    assert labels.fit(whole).expression is None


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ConfigError) as nothing:
        labels.fit('<View><Image name="photo" value="$image"/></View>')
    assert '<RectangleLabels name="box" toName="photo"> with the label "face"' in str(nothing.value)
    assert '"inner_lip" for landmarks' in str(nothing.value)
    with pytest.raises(ConfigError) as half:
        labels.fit(_OWN.format(points='<Label value="jaw"/>'))
    assert "RectangleLabels" not in str(half.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "not well-formed"),
        ("<View>", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "not well-formed"),
        ("<View/>", "shows no image"),
        ('<View><Image name="i" valueList="$pages"/></View>', "shows no image"),
        ('<View><Image name="i" value="http://a/b"/></View>', "shows no image"),
    ],
)
def test_what_is_no_configuration_is_refused(config: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        labels.fit(config)
