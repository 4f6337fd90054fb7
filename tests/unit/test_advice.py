"""What a start prompt must tell."""

import pytest

from store.models import PromptPurpose
from voices.advice import Advice, advice_on_start
from voices.limits import LONGEST_TEXT
from voices.templates import TEMPLATES

pytestmark = pytest.mark.unit

LIMIT, HASH = Advice.LIMIT_NOT_MENTIONED, Advice.HASH_NOT_MENTIONED


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("50秒以内でお話しください。#を押してください。", []),
        ("５０秒以内に、＃を", []),
        ("五十秒以内に、シャープを", []),
        ("ごじゅう秒で、井桁を", []),
        ("50 秒、♯", []),
        ("ただいま留守です", [LIMIT, HASH]),
        ("50秒以内で", [HASH]),
        ("終わったらシャープを", [LIMIT]),
        ("150秒以内に#を", [LIMIT]),
        ("二五十秒、#", [LIMIT]),
        ("50円、#", [LIMIT]),
        ("", [LIMIT, HASH]),
    ],
)
def test_each_missing_one_is_named(text: str, missing: list[Advice]) -> None:
    assert advice_on_start(text) == missing


def test_templates_need_no_advice_and_fit() -> None:
    assert {template.purpose for template in TEMPLATES} == set(PromptPurpose)
    assert len({template.id for template in TEMPLATES}) == len(TEMPLATES)
    for template in TEMPLATES:
        assert len(template.text) <= LONGEST_TEXT
        if template.purpose in {PromptPurpose.START, PromptPurpose.CLOSED}:
            assert advice_on_start(template.text) == [], template.id
