"""Ready-made texts to start from. Pure.

`っっ` at a sentence's end is a pause of a second, as in what customers write.
"""

from dataclasses import dataclass

from store.models import PromptPurpose


@dataclass(frozen=True)
class Template:
    """One text. `id` never changes; customers put their own name for 〇〇."""

    id: str
    purpose: PromptPurpose
    name: str
    text: str


LEAVE_A_MESSAGE = (
    "発信音の後に、50秒以内でお名前とご用件をお話しください。っっ録音が終わりましたら、#を押してください。"
)
TEMPLATES = (
    Template(
        "start-usual",
        PromptPurpose.START,
        "標準",
        "お電話ありがとうございます。っっただいま電話に出ることができません。" + LEAVE_A_MESSAGE,
    ),
    Template(
        "start-company",
        PromptPurpose.START,
        "会社名を名のる",
        "お電話ありがとうございます。〇〇でございます。っっ"
        "申し訳ございませんが、ただいま電話に出ることができません。" + LEAVE_A_MESSAGE,
    ),
    Template(
        "start-busy",
        PromptPurpose.START,
        "電話が混み合っているとき",
        "お電話ありがとうございます。っっただいま電話が大変混み合っております。"
        "折り返しご連絡いたしますので、" + LEAVE_A_MESSAGE,
    ),
    Template(
        "start-out",
        PromptPurpose.START,
        "外出中",
        "お電話ありがとうございます。っっただいま外出しております。"
        "戻り次第ご連絡いたしますので、" + LEAVE_A_MESSAGE,
    ),
    Template(
        "closed-hours",
        PromptPurpose.CLOSED,
        "営業時間外",
        "お電話ありがとうございます。っっ本日の営業は終了いたしました。"
        "営業時間は、平日の午前9時から午後6時までです。" + LEAVE_A_MESSAGE,
    ),
    Template(
        "closed-holiday",
        PromptPurpose.CLOSED,
        "休業日",
        "お電話ありがとうございます。っっ誠に勝手ながら、本日は休業日とさせていただいております。"
        + LEAVE_A_MESSAGE,
    ),
    Template(
        "closed-new-year",
        PromptPurpose.CLOSED,
        "年末年始",
        "お電話ありがとうございます。っっ12月29日から1月3日まで、年末年始の休業とさせていただいております。"
        + LEAVE_A_MESSAGE,
    ),
    Template(
        "end-usual",
        PromptPurpose.END,
        "標準",
        "ご伝言を承りました。っっお電話ありがとうございました。失礼いたします。",
    ),
    Template(
        "end-call-back",
        PromptPurpose.END,
        "折り返しを約束する",
        "ご用件を承りました。っっ内容を確認のうえ、折り返しご連絡いたします。お電話ありがとうございました。",
    ),
    Template(
        "recording-quality",
        PromptPurpose.RECORDING,
        "品質向上のため",
        "この通話は、品質向上のため、録音させていただいております。",
    ),
    Template(
        "recording-content",
        PromptPurpose.RECORDING,
        "内容確認のため",
        "お電話の内容を正確に承るため、この通話を録音させていただきます。あらかじめご了承ください。",
    ),
)
