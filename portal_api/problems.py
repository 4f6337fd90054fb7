"""Every error the API answers: RFC 9457 problem details with a stable `code` and Japanese words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from faxpages.refusals import TEXTS as REFUSALS
from store.errors import BadCursor, Conflict, InUse, NotFound, StoreError, TooManyTries, Unusable
from voices.errors import Busy, Refused, VoicesError

MOST_FIELD_ERRORS = 50

TITLES: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "リクエストの形式が正しくありません"),
    "malformed_json": (400, "JSONとして読み取れません"),
    "invalid_query": (400, "検索条件が正しくありません"),
    "bad_cursor": (400, "cursorが正しくありません"),
    "account_required": (400, "account_idを指定してください"),
    "idempotency_key_required": (400, "Idempotency-Keyが必要です"),
    "unauthorized": (401, "認証が必要です"),
    "sign_in_failed": (401, "サインインできませんでした"),
    "code_required": (401, "認証コードが必要です"),
    "code_wrong": (401, "認証コードが正しくありません"),
    "device_unauthorized": (401, "端末の認証が必要です"),
    "forbidden": (403, "この操作は許可されていません"),
    "phonebook_not_contracted": (403, "Web電話帳オプションの契約がありません"),
    "not_found": (404, "見つかりません"),
    "fax_file_missing": (404, "FAXのファイルがありません"),
    "audio_missing": (404, "音声ファイルがありません"),
    "invoice_file_missing": (404, "請求書のファイルがありません"),
    "method_not_allowed": (405, "このメソッドは使えません"),
    "body_too_slow": (408, "リクエストの受信が時間内に終わりませんでした"),
    "in_use": (409, "使用中のため削除できません"),
    "name_taken": (409, "同じ名前が既に使われています"),
    "username_taken": (409, "このユーザー名は既に使われています"),
    "schedule_exists": (409, "この電話番号のスケジュールは既にあります"),
    "schedule_off": (409, "スケジュールがOFFです"),
    "whitelist_full": (409, "ホワイトリストの登録件数が上限を超えます"),
    "option_not_sold": (409, "この電話番号では契約していないオプションです"),
    "short_number_taken": (409, "この内線番号は既に使われています"),
    "line_taken": (409, "この回線番号は既に使われています"),
    "already_blocked": (409, "既に着信拒否リストにあります"),
    "block_list_full": (409, "着信拒否リストの登録件数が上限を超えます"),
    "login_taken": (409, "このログインIDは既に使われています"),
    "own_user": (409, "自分自身には行えません"),
    "second_factor_on": (409, "2段階認証は既にONです"),
    "second_factor_off": (409, "2段階認証はOFFです"),
    "second_factor_not_begun": (409, "2段階認証の設定が始まっていません"),
    "number_taken": (409, "この電話番号は既に登録されています"),
    "too_many_services": (409, "通知サービスはこれ以上追加できません"),
    "call_over": (409, "この通話は終わっています"),
    "call_not_connected": (409, "この通話はまだつながっていません"),
    "not_recording": (409, "この通話は録音していません"),
    "recording_paused": (409, "この通話の録音は一時停止中です"),
    "recording_not_paused": (409, "この通話の録音は一時停止していません"),
    "announcement_unplayable": (409, "録音前の案内を再生できないため、録音できません"),
    "not_failed": (409, "再送できるのは送信に失敗した通知だけです"),
    "fax_access_denied": (409, "このIDは、このFAX番号を使えません"),
    "fax_over": (409, "このFAXは既に終わっています"),
    "fax_under_way": (409, "送信中のFAXは削除できません"),
    "not_resendable": (409, "このFAXは再送できません"),
    "one_device_only": (409, "アクセス設定は複数のIDがあるときだけ使えます"),
    "too_many_prompts": (409, "これ以上音声を登録できません"),
    "already_sold": (409, "既に契約中です"),
    "card_payment": (409, "カードのお支払いは決済サービスが記録します"),
    "payment_settled": (409, "このお支払いは既に済んでいます"),
    "no_tariff": (409, "有効な料金表がありません"),
    "not_the_original": (409, "修正できるのは元の請求書だけです"),
    "phonebook_full": (409, "電話帳の登録件数が上限を超えます"),
    "too_many_imports": (409, "確認中のファイルが多すぎます"),
    "import_applied": (409, "このファイルは登録済みです"),
    "import_has_errors": (422, "ファイルに誤りのある行があります"),
    "idempotency_mismatch": (409, "同じIdempotency-Keyで別の内容が送られています"),
    "idempotency_in_progress": (409, "同じIdempotency-Keyのリクエストを処理しています"),
    "idempotency_unknown": (409, "前のリクエストがどこまで行われたか分かりません"),
    "changed_meanwhile": (412, "ほかの人が先に変えています"),
    "if_match_required": (428, "If-Matchが必要です"),
    "too_many_streams": (429, "同時に開ける接続の数を超えています"),
    "body_too_large": (413, "リクエストが大きすぎます"),
    "file_too_large": (413, "ファイルが大きすぎます"),
    "unsupported_media_type": (415, "このContent-Typeは使えません"),
    "range_not_satisfiable": (416, "指定された範囲は返せません"),
    "invalid_body": (422, "入力内容に誤りがあります"),
    "not_a_pdf": (422, "PDFファイルではありません"),
    "pdf_encrypted": (422, "PDFがパスワードで保護されています"),
    "pdf_damaged": (422, "PDFが壊れています"),
    "pdf_without_pages": (422, "PDFにページがありません"),
    "too_many_pages": (422, "PDFのページが多すぎます"),
    "pdf_too_complex": (422, "PDFが複雑すぎて変換できません"),
    "not_audio": (422, "音声ファイルとして読み取れません"),
    "damaged_audio": (422, "音声ファイルが壊れています"),
    "has_video": (422, "映像を含むファイルは使えません"),
    "inaudible": (422, "音が聞き取れません"),
    "audio_too_long": (422, "音声が長すぎます"),
    "too_many_requests": (429, "リクエストが多すぎます"),
    "too_many_tries": (429, "サインインの試行回数が多すぎます"),
    "internal_error": (500, "サーバーで問題が発生しました"),
    "documents_unavailable": (503, "文書の処理が一時的に使えません"),
    "conversion_unavailable": (503, "音声を変換できません"),
    "voices_unavailable": (503, "音声の生成が一時的に使えません"),
    "voices_busy": (503, "音声の生成が混み合っています"),
    "switch_unavailable": (503, "電話交換機が応答しません"),
    "storage_full": (507, "保存する場所が足りません"),
    "database_unavailable": (503, "データベースが一時的に使えません"),
}
DETAILS: dict[str, str] = {
    **REFUSALS,
    "fax_access_denied": "FAX番号のアクセス設定を確認してください。",
    "fax_under_way": "先に送信を取り消してください。",
    "not_resendable": "再送できるのは、終わった送信だけです。",
    "documents_unavailable": "しばらく待ってから再度お試しください。",
    "malformed_json": "本文はUTF-8の正しいJSONにしてください。",
    "option_not_sold": "オプションを契約した電話番号で使えます。追加にはお申し込みが必要です。",
    "short_number_taken": "ほかの端末の内線番号かユーザー名と同じです。別の番号にしてください。",
    "block_list_full": "登録できるのは1,000件までです。使わないものを外してください。",
    "bad_cursor": "前のページのnextの値をそのまま指定してください。",
    "account_required": "運用者のトークンでは、対象のアカウントをaccount_idで指定してください。",
    "idempotency_key_required": "操作ごとに新しいキー(255文字まで)を付け、やり直しでは同じにしてください。",
    "no_tariff": "運用者が料金表を設定するまで、この操作はできません。",
    "not_the_original": "修正の対象には、元の請求書を指定してください。",
    "invoice_file_missing": "運用者にお問い合わせください。",
    "unauthorized": "Authorization: Bearer に有効なトークンを付けてください。",
    "forbidden": "このトークンまたはユーザーの権限では行えません。",
    "sign_in_failed": "ログインIDまたはパスワードが正しくありません。",
    "code_required": "認証アプリに表示されている6桁のコード、またはリカバリーコードを入力してください。",
    "code_wrong": "新しいコードが表示されてから入力してください。一度使ったコードは使えません。",
    "own_user": "自分のユーザーの権限の変更・停止・削除は、他の管理者が行ってください。",
    "second_factor_not_begun": "先に設定を始めてQRコードを読み取ってください。",
    "too_many_requests": "Retry-Afterの秒数だけ待ってから再度お試しください。",
    "too_many_tries": "しばらくしてからお試しください。パスワードを忘れたときは管理者にご連絡ください。",
    "device_unauthorized": "端末のusernameとpassword(Basic認証)か、使われていない取得リンクが必要です。",
    "phonebook_not_contracted": "Web電話帳は、利用するすべての端末(ID)にオプション契約が必要です。",
    "idempotency_mismatch": "新しいリクエストには新しいIdempotency-Keyを付けてください。",
    "idempotency_in_progress": "しばらく待ってから、同じIdempotency-Keyで送り直してください。",
    "idempotency_unknown": "途中で中断しました。結果を確かめ、必要なら新しいIdempotency-Keyで送ります。",
    "changed_meanwhile": "currentがいまの内容です。確かめて、いまのETagをIf-Matchに付けて送り直します。",
    "if_match_required": "取得したときのETagをIf-Matchに付けてください。",
    "phonebook_full": "1つのアカウントに登録できるのは50,000件までです。",
    "too_many_imports": "登録するか削除してください。24時間たつと自動で消えます。",
    "not_found": "指定されたものは存在しないか、このアカウントのものではありません。",
    "schedule_off": "スケジュールをONにするか、動作設定でルールを選んでください。",
    "whitelist_full": "1つのホワイトリストに登録できるのは1,000件までです。",
    "body_too_large": "リクエストの本文は1 MiBまでです。",
    "call_not_connected": "相手とつながってから(案内の再生中は、それが終わってから)操作してください。",
    "recording_paused": "再開してください。",
    "announcement_unplayable": "通話録音の設定で、案内の音声を選び直してください。",
    "switch_unavailable": "しばらく待ってから再度お試しください。",
    "too_many_prompts": "1つの電話番号に登録できる音声は300件までです。使わない音声を削除してください。",
    "file_too_large": "ファイルは20 MBまでです。",
    "not_audio": "WAV、MP3、M4A、OGG、FLACのいずれかの音声ファイルにしてください。",
    "damaged_audio": "最後まで読み取れませんでした。ファイルを確かめるか、別の形式で保存し直してください。",
    "has_video": "音声だけのファイルにしてください。",
    "inaudible": "音がないか、小さすぎるか、短すぎます。録音し直してください。",
    "audio_too_long": "音声は120秒以内にしてください。",
    "voices_unavailable": "しばらく待ってから再度お試しください。",
    "voices_busy": "しばらく待ってから再度お試しください。",
    "storage_full": "時間をおいて再度お試しください。続く場合はお問い合わせください。",
    "internal_error": "時間をおいて再度お試しください。続く場合はrequest_idを添えてお問い合わせください。",
    "conversion_unavailable": "WAV形式では取得できます。MP3は時間をおいて再度お試しください。",
    "database_unavailable": "しばらく待ってから再度お試しください。",
}
FIELD_DETAILS = {
    "missing": "必須です。",
    "extra_forbidden": "使えない項目です。",
    "string_type": "文字列で指定してください。",
    "bool_type": "trueまたはfalseで指定してください。",
    "bool_parsing": "trueまたはfalseで指定してください。",
    "list_type": "配列で指定してください。",
    "model_type": "オブジェクトで指定してください。",
    "int_type": "整数で指定してください。",
    "int_parsing": "整数で指定してください。",
    "int_parsing_size": "値が大きすぎます。",
    "string_too_short": "{min_length}文字以上で指定してください。",
    "string_too_long": "{max_length}文字以内で指定してください。",
    "string_pattern_mismatch": "使えない文字が含まれているか、長さが正しくありません。",
    "too_short": "{min_length}件以上で指定してください。",
    "too_long": "{max_length}件以内で指定してください。",
    "greater_than_equal": "{ge}以上で指定してください。",
    "less_than_equal": "{le}以下で指定してください。",
    "literal_error": "{expected} のいずれかで指定してください。",
    "enum": "{expected} のいずれかで指定してください。",
    "short_number": "2〜4桁で、0から始まる番号、1XY、700〜709、184・186から始まる番号以外にしてください。",
    "rings_too_long": "鳴らす秒数は、合わせて99秒までにしてください。",
    "required": "この設定には必要です。",
    "rule_required": "留守レポをONにするには、この番号のルールを選んでください。",
    "prompt_required": "案内をONにするには、この番号の音声を選んでください。",
    "not_found": "指定されたものは存在しないか、ここでは使えません。",
    "not_a_fax_number": "FAXを使える電話番号を指定してください。",
    "fax_option_required": "FAX専用モードをONにするには、この番号でFAXを使う設定にしてください。",
    "too_few_destinations": "送信先を1件以上指定してください。",
    "too_many_destinations": "送信先は100件までです。",
    "destination_not_allowed": "この番号にはFAXを送信できません(海外、0990、0570など)。",
    "unreadable": "読み上げられる文字がありません。",
    "past": "これからの日時を指定してください。",
    "date_from_datetime_parsing": "日付(2026-12-29)で指定してください。",
    "date_type": "日付(2026-12-29)で指定してください。",
    "before_start": "契約の最初の日以降を指定してください。",
    "repeated": "1回だけ指定してください。",
    "weak": "推測されやすいパスワードです。ログインIDを含まない、いろいろな文字のものにしてください。",
    "wrong": "正しくありません。",
    "of_operators": "このアカウントのユーザーは運用者にできません。",
    "not_of_operators": "アカウントに属さないユーザーは運用者(operator)だけです。",
    "unknown_scope": "使えない権限です。",
    "exceeds": "自分の持つ権限を超えています。",
}
HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


class FieldError(BaseModel):
    """What is wrong with one field of the body or of the query."""

    field: str = Field(description="項目名。入れ子は . でつなぐ")
    code: str
    detail: str


class UsedBy(BaseModel):
    """What still needs the thing that was to be deleted."""

    kind: str
    id: str
    name: str


class ProblemDetails(BaseModel):
    """An error, as `application/problem+json`."""

    type: str = Field(description="このcodeの説明の場所")
    title: str
    status: int
    code: str = Field(description="変わらない識別子。プログラムはこれで判断する")
    detail: str
    request_id: str
    errors: list[FieldError] = Field(default=[], description="項目ごとの誤り")
    used_by: list[UsedBy] = Field(default=[], description="使用中のもの(codeがin_useのとき)")
    current: dict[str, Any] | None = Field(
        default=None, description="いまの内容(codeがchanged_meanwhileのとき)。ETagヘッダーもいまのもの"
    )


class Problem(Exception):
    """Raised anywhere below the middleware, which answers it."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        used_by: Sequence[UsedBy] = (),
        headers: Mapping[str, str] | None = None,
        current: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.used_by = list(used_by)
        self.headers = dict(headers or {})
        self.current = dict(current) if current is not None else None


def problem_response(problem: Problem, request_id: str) -> web.Response:
    """Answer `problem`."""
    status, title = TITLES[problem.code]
    first = problem.errors[0] if problem.errors else None
    details = ProblemDetails(
        type=f"/docs#{problem.code}",
        title=title,
        status=status,
        code=problem.code,
        detail=problem.detail
        or (f"{first.field}: {first.detail}" if first else DETAILS.get(problem.code, title)),
        request_id=request_id,
        errors=problem.errors,
        used_by=problem.used_by,
        current=problem.current,
    )
    return web.Response(
        status=status,
        body=details.model_dump_json().encode(),
        content_type="application/problem+json",
        headers=problem.headers,
    )


def problem_of_store(refusal: StoreError) -> Problem:
    """Say what the store refused in the API's terms."""
    match refusal:
        case NotFound():
            return Problem("not_found")
        case Unusable():
            return Problem("invalid_body", errors=[field_error(refusal.field, refusal.code)])
        case InUse():
            used_by = [UsedBy(kind=use.kind, id=use.id, name=use.name) for use in refusal.used_by]
            return Problem("in_use", f"{len(used_by)}件で選択されています。", used_by=used_by)
        case Conflict():
            return Problem(refusal.code)
        case TooManyTries():
            seconds = math.ceil(refusal.wait.total_seconds())
            return Problem("too_many_tries", headers={"Retry-After": str(max(seconds, 1))})
        case BadCursor():
            return Problem("bad_cursor")
        case _:
            return Problem("internal_error")


def problem_of_voices(refusal: VoicesError) -> Problem:
    """Say what the voices refused."""
    match refusal:
        case Refused(code="unreadable"):
            return Problem("invalid_body", errors=[field_error("text", "unreadable")])
        case Refused():
            return Problem(refusal.code)
        case _:
            code = "voices_busy" if isinstance(refusal, Busy) else "voices_unavailable"
            return Problem(code, headers={"Retry-After": "5"})


def problem_of_http(error: web.HTTPException) -> Problem:
    """Put aiohttp's own refusals (no such path, wrong method, body too large) into our shape."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    unknown = "malformed_request" if error.status < 500 else "internal_error"
    return Problem(HTTP_CODES.get(error.status, unknown), headers=headers)


def problem_of_validation(code: str, wrong: ValidationError) -> Problem:
    """Say per field what pydantic refused. What was given is not repeated: it may be private."""
    found = wrong.errors(include_url=False, include_input=False)[:MOST_FIELD_ERRORS]
    if any(error["type"] == "json_invalid" for error in found):
        return Problem("malformed_json")
    return Problem(code, errors=[_field_error_of(dict(error)) for error in found])


def field_error(field: str, code: str) -> FieldError:
    return FieldError(field=field, code=code, detail=FIELD_DETAILS[code])


def _field_error_of(error: dict[str, Any]) -> FieldError:
    code = str(error["type"])
    # Messages of our own validators are Japanese already; pydantic's are not.
    words = FIELD_DETAILS.get(code)
    own = str(error["msg"]) if not str(error["msg"]).isascii() else "値が正しくありません。"
    return FieldError(
        field=".".join(map(str, error["loc"])),
        code=code,
        detail=words.format(**error.get("ctx", {})) if words else own,
    )
