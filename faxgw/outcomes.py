"""How an attempt came out: from the line's words to a class that people understand. Pure.

The codes behind it: `t30_…` by the names of SpanDSP's completion codes (T.30), `sip_…` and `q850_…` of calls
that were not answered.
"""

import re
from dataclasses import dataclass

from store.fax_line import FaxSlip
from store.models import FaxResultClass as Class

NOT_WORDS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Outcome:
    """The class, the code behind it, a sentence for people, and how many pages of this call arrived."""

    result: Class
    code: str
    text: str
    pages: int = 0


BY_SIP = {
    **dict.fromkeys((486, 600), Class.BUSY),
    **dict.fromkeys((408, 480, 487), Class.NO_ANSWER),
    **dict.fromkeys((404, 410, 484, 485, 604), Class.BAD_NUMBER),
    **dict.fromkeys((401, 403, 407, 433, 603, 607, 608), Class.REFUSED),
    **dict.fromkeys((415, 488, 606), Class.NOT_CAPABLE),
}
BY_CAUSE = {
    17: Class.BUSY,
    **dict.fromkeys((18, 19), Class.NO_ANSWER),
    **dict.fromkeys((1, 2, 3, 22, 28), Class.BAD_NUMBER),
    **dict.fromkeys((21, 57), Class.REFUSED),
    **dict.fromkeys((58, 65, 79, 88), Class.NOT_CAPABLE),
}
BY_DIALSTATUS = {"BUSY": Class.BUSY, "NOANSWER": Class.NO_ANSWER}

T30: dict[str, tuple[str, Class]] = {
    "Timed out waiting for initial communication": ("t0_expired", Class.NOT_A_FAX),
    "Timed out waiting for the first message": ("t1_expired", Class.NOT_A_FAX),
    "The CED tone exceeded 5s": ("ced_tone", Class.NOT_A_FAX),
    "Received other than DIS while waiting for DIS": ("tx_nodis", Class.NOT_A_FAX),
    "The HDLC carrier did not stop in a timely manner": ("hdlc_carrier", Class.BAD_LINE),
    "Failed to train with any of the compatible modems": ("cannot_train", Class.BAD_LINE),
    "Received bad response to DCS or training": ("tx_baddcs", Class.BAD_LINE),
    "Received no response to DCS or TCF": ("tx_phbdead", Class.BAD_LINE),
    "No response after sending a page": ("tx_phddead", Class.BAD_LINE),
    "Invalid response after sending a page": ("tx_invalrsp", Class.BAD_LINE),
    "Invalid ECM response received from receiver": ("tx_ecmphd", Class.BAD_LINE),
    "Invalid ECM response received from transmitter": ("rx_ecmphd", Class.BAD_LINE),
    "Disconnected after permitted retries": ("retrydcn", Class.BAD_LINE),
    "Unexpected message received": ("unexpected", Class.BAD_LINE),
    "Carrier lost during fax receive": ("rx_nocarrier", Class.BAD_LINE),
    "Received a DCN from remote after sending a page": ("tx_badpg", Class.CUT_OFF),
    "Received a DCN while waiting for a DIS": ("tx_gotdcn", Class.CUT_OFF),
    "Timed out waiting for receiver ready ECM mode": ("tx_t5exp", Class.CUT_OFF),
    "The call dropped prematurely": ("calldropped", Class.CUT_OFF),
    "Far end is not compatible": ("incompatible", Class.NOT_CAPABLE),
    "Far end is not able to receive": ("rx_incapable", Class.NOT_CAPABLE),
    "Far end cannot receive at the resolution of the image": ("noressupport", Class.NOT_CAPABLE),
    "Far end cannot receive at the size of image": ("nosizesupport", Class.NOT_CAPABLE),
    "error negotiating T 38": ("t38_neg_error", Class.BAD_LINE),
    "TIFF F file cannot be opened": ("fileerror", Class.OUR_FAULT),
    "TIFF F page not found": ("nopage", Class.OUR_FAULT),
    "TIFF F format is not compatible": ("badtiff", Class.OUR_FAULT),
    "Bad TIFF F header incorrect values in fields": ("badtiffhdr", Class.OUR_FAULT),
    "Cannot allocate memory for more pages": ("nomem", Class.OUR_FAULT),
}
OURS = {"FILE_ERROR", "INIT_ERROR", "MEMORY_ERROR", "UNKNOWN_ERROR"}
TEXTS = {
    Class.BUSY: "話中でした。",
    Class.NO_ANSWER: "応答がありませんでした。",
    Class.NOT_A_FAX: "FAX以外(電話や留守番電話など)が応答しました。",
    Class.BAD_LINE: "回線の状態が悪く、FAX通信が成立しませんでした。",
    Class.NOT_CAPABLE: "相手機の機能が不足しているため、受信できません。",
    Class.BAD_NUMBER: "番号が正しくないか、使われていません。",
    Class.REFUSED: "相手または網に拒否されました。",
    Class.NETWORK: "回線の都合で、つながりませんでした。",
    Class.OUR_FAULT: "送信側の問題で送れませんでした。",
    Class.OK: "送信しました。",
}


def _normal(words: str) -> str:
    return NOT_WORDS.sub(" ", words.lower()).strip()


_BY_WORDS = {_normal(words): verdict for words, verdict in T30.items()}


def outcome_of(slip: FaxSlip, pages: int) -> Outcome:
    """Judge a call that was to send so many pages."""
    if slip.answered_at is None:
        return _not_answered(slip)
    if slip.status == "SUCCESS":
        return Outcome(Class.OK, "ok", TEXTS[Class.OK], pages)
    if pages and slip.pages >= pages:
        # The far machine has confirmed every page; only the good-bye went wrong.
        return Outcome(Class.OK, _t30(slip)[0], TEXTS[Class.OK], pages)
    code, result = _t30(slip)
    if result is Class.CUT_OFF and not slip.pages and not slip.remote:
        # Somebody heard our tones and put down the receiver.
        result = Class.NOT_A_FAX
    if result is Class.CUT_OFF or slip.pages:
        return Outcome(Class.CUT_OFF, code, cut_off_text(slip.pages), slip.pages)
    return Outcome(result, code, TEXTS[result], slip.pages)


def cut_off_text(pages: int) -> str:
    return f"途中で切れました({pages}ページまで送信)。" if pages else "通信の途中で切れました。"


def _t30(slip: FaxSlip) -> tuple[str, Class]:
    known = _BY_WORDS.get(_normal(slip.statusstr))
    if known is not None:
        return f"t30_{known[0]}", known[1]
    if slip.error in OURS:
        return f"fax_{slip.error.lower()}", Class.OUR_FAULT
    words = _normal(slip.statusstr).replace(" ", "_") or slip.error.lower()
    return f"t30_{words}"[:60] if words else "t30_unknown", Class.BAD_LINE


def _not_answered(slip: FaxSlip) -> Outcome:
    result = BY_SIP.get(slip.tech_cause or 0) or BY_CAUSE.get(slip.cause or 0)
    result = result or BY_DIALSTATUS.get(slip.dialstatus, Class.NETWORK)
    if slip.tech_cause:
        code = f"sip_{slip.tech_cause}"
    else:
        code = f"q850_{slip.cause}" if slip.cause else f"dial_{slip.dialstatus.lower() or 'failed'}"
    return Outcome(result, code, TEXTS[result])


NEVER_BEGAN = Outcome(Class.NETWORK, "not_dialled", TEXTS[Class.NETWORK])
LINE_RESTARTED = "line_restarted"
DIED_UNANSWERED = Outcome(Class.NETWORK, LINE_RESTARTED, TEXTS[Class.NETWORK])
UNKNOWN_TEXT = (
    "送信中に障害が起き、相手に届いたかどうか確認できません。相手に確認のうえ、必要なら再送してください。"
)


def died(slip: FaxSlip, pages_seen: int, watched: bool) -> Outcome:
    """Judge a call of which Asterisk died; `watched` where we saw its last second and `pages_seen` arrive."""
    if slip.answered_at is None:
        return DIED_UNANSWERED
    if watched:
        return Outcome(Class.CUT_OFF, LINE_RESTARTED, cut_off_text(pages_seen), pages_seen)
    return Outcome(Class.UNKNOWN, LINE_RESTARTED, UNKNOWN_TEXT, pages_seen)
