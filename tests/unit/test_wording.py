"""Words become a text."""

import pytest

from transcribe.wording import sentence

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", ""),
        ("もしもし 田中 です", "もしもし田中です"),
        ("hello world です", "hello worldです"),
        ("Ｗｅｂ サイト の ＵＲＬ", "WebサイトのURL"),
        ("㈱ あさひ", "(株)あさひ"),
        ("電話 番号 は ゼロ 三 一 二 三 四 五 六 七 八 です", "電話番号は0312345678です"),
        ("〇 九 〇", "090"),
        ("午後 三 時", "午後3時"),
        ("四 時 半", "4時半"),
        ("十 二 月 二 十 五 日", "12月25日"),
        ("二 千 二 十 六 年", "2026年"),
        ("百 円 が 三 千 円 に", "100円が3000円に"),
        ("一 月 一 日", "1月1日"),
        # Where it would be a guess, the words stay.
        ("四 五 日 後", "四五日後"),
        ("一緒 に", "一緒に"),
        ("十分 です", "十分です"),
        ("二 三 十 分", "二三十分"),
        ("十 百 円", "十百円"),
        ("一 つ", "一つ"),
        ("百", "百"),
        ("<b>太郎</b> です", "<b>太郎</b>です"),
    ],
)
def test_words_become_a_sentence(words: str, text: str) -> None:
    assert sentence(words.split()) == text
