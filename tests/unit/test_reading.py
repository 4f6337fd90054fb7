"""What the synthesiser is given to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voices.reading import LONGEST_PAUSE_S, Part, parts_of

pytestmark = pytest.mark.unit

READINGS = {
    # the keys of a telephone
    "「#」を押してください": "「シャープ」を押してください",
    "＃を押す": "シャープを押す",
    "#️⃣を押す": "シャープを押す",
    "*を押す": "こめじるしを押す",
    # companies and floors
    "㈱あさひ": "株式会社あさひ",
    "（株）あさひ": "株式会社あさひ",
    "(有)ゆうひ": "有限会社ゆうひ",
    "本社ビル3F": "本社ビル3階",
    "B1Fの窓口": "地下1階の窓口",
    # telephone numbers, in their writer's groups or the usual ones
    "03-1234-5678": "ゼロサン、イチニーサンヨン、ゴーロクナナハチ",
    "０３（１２３４）５６７８": "ゼロサン、イチニーサンヨン、ゴーロクナナハチ",
    "0312345678まで": "ゼロサン、イチニーサンヨン、ゴーロクナナハチまで",
    "+81 3-1234-5678": "ゼロサン、イチニーサンヨン、ゴーロクナナハチ",
    "09012345678": "ゼロキューゼロ、イチニーサンヨン、ゴーロクナナハチ",
    "090ー1234ー5678": "ゼロキューゼロ、イチニーサンヨン、ゴーロクナナハチ",
    "0120-444-113": "ゼロイチニーゼロ、ヨンヨンヨン、イチイチサン",
    "0120444113": "ゼロイチニーゼロ、ヨンヨンヨン、イチイチサン",
    "〒100-0001 東京都": "郵便番号イチゼロゼロのゼロゼロゼロイチ、 東京都",
    # times and dates
    "14:05に": "14時5分に",
    "14時05分": "14時5分",
    "9:00〜18:00": "9時から18時",
    "9時～18時": "9時から18時",
    "10-12時": "10から12時",
    "11/24": "11月24日",
    "2026/11/24(火)": "2026年11月24日(火)",
    "8月13日〜16日": "8月13日から16日",
    "12月29日(火)～1月3日(日)": "12月29日(火)から1月3日(日)",
    "月～金": "月曜から金曜",
    "月〜金曜日": "月曜から金曜",
    "土・日・祝日": "土曜・日曜・祝日",
    # what is not one
    "24/7": "24/7",
    "1-2-3": "1-2-3",
    "9月〜11月": "9月から11月",
    "お待ちくださいね〜": "お待ちくださいね",
    # money, addresses
    "￥1,000": "1,000円",
    "info@example.comまで": "info アットマーク example ドット com まで",
    "https://www.a.co.jp/faqを見る": "www ドット a ドット co ドット jp スラッシュ faq を見る",
    "example.co.jpで検索": "example ドット co ドット jp で検索",
    # what is dropped, and what must not disturb
    "はいっ": "はい",
    "あっ、すみません": "あ、すみません",
    "😀です👨‍👩‍👧": "です",
    "★営業中★": "営業中",
    "お待ちください…": "お待ちください",
    "ｶﾌﾞｼｷ": "カブシキ",
    "一。\n\n二\r\n三": "一。二。三",
    "20℃": "20度",
}


@pytest.mark.parametrize(("written", "read"), READINGS.items())
def test_readings(written: str, read: str) -> None:
    assert parts_of(written) == [Part(read, 0.0)]


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("おはようございますっっただいま", [("おはようございます", 1), ("ただいま", 0)]),
        ("おはようございます。っっただいま", [("おはようございます", 1), ("ただいま", 0)]),
        ("おはようっっ。ただいま", [("おはよう", 1), ("ただいま", 0)]),
        ("おはようっっっっ\nただいま", [("おはよう", 2), ("ただいま", 0)]),
        ("お話しくださいっっっ終わりましたら", [("お話しください", 1), ("終わりましたら", 0)]),
        ("おはようございますッッただいま", [("おはようございます", 1), ("ただいま", 0)]),
        ("おはようございますｯｯただいま", [("おはようございます", 1), ("ただいま", 0)]),
        ("はい。っっ。っっただいま", [("はい", 2), ("ただいま", 0)]),
        ("失礼しますっっ", [("失礼します", 1)]),
        ("はい。" + "っ" * 40 + "いま", [("はい", LONGEST_PAUSE_S), ("いま", 0)]),
        ("すっっごい", [("すっっごい", 0)]),
        ("いった", [("いった", 0)]),
        ("っっ", []),
    ],
)
def test_pauses_are_where_their_writer_wants_them(written: str, parts: list[tuple[str, float]]) -> None:
    assert parts_of(written) == [Part(text, pause_s) for text, pause_s in parts]


@pytest.mark.parametrize("written", ["", "  \n", "★●", "😀", "!?", "。。。", "…", "\u200b", "\ufe0f"])
def test_nothing_to_read_is_no_part(written: str) -> None:
    assert parts_of(written) == []


@given(
    st.text(alphabet=st.sampled_from("っッ。、ますです#〜-/:0123(月火)F@.\n 😀あA〒"), max_size=60)
    | st.text(max_size=60)
)
def test_any_text_is_cut_without_empty_parts_or_endless_pauses(written: str) -> None:
    for part in parts_of(written):
        assert any(sign.isalnum() for sign in part.text)
        assert "#" not in part.text
        assert 0 <= part.pause_s <= LONGEST_PAUSE_S
