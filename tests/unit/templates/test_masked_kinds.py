"""What a template field's mask shows must not tell which of few values it hides (R68, P12)."""

from __future__ import annotations

import pytest

from service.access.declared import Sensitivity
from service.access.masks import mask
from service.templates.model import FieldType, Label, TemplateField


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (FieldType.BOOLEAN, ("true", "false")),
        (FieldType.CHOICE, ("production", "material", "use")),
        (FieldType.NUMBER, ("7", "30", "120", "1200", "-3.5")),
        (FieldType.AMOUNT, ("7.00", "120000.00")),
        (FieldType.REFERENCE, ("usr_01jdm2000000000000000000aa", "usr_01jdm2000000000000000000ab")),
    ],
)
def test_all_values_of_a_field_have_one_mask(kind: FieldType, values: tuple[str, ...]) -> None:
    field = TemplateField("secret", kind, Label("密", "Secret"), Sensitivity.NARRATIVE, None, None, False, [], None)
    assert len({mask(field.mask_kind, value) for value in values}) == 1
