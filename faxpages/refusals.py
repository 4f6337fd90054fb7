"""Why a document is refused, in words for the customer."""

from collections.abc import Mapping

from faxpages.limits import MOST_PAGES

TEXTS: Mapping[str, str] = {
    "not_a_pdf": "PDFファイルではありません。送信できるファイル形式はPDFのみです。",
    "pdf_encrypted": "パスワードで保護されたPDFは送信できません。保護を解除してから送信してください。",
    "pdf_damaged": "PDFファイルが壊れていて読み取れません。作り直してから送信してください。",
    "pdf_without_pages": "PDFファイルにページがありません。",
    "too_many_pages": f"一度に送信できるのは{MOST_PAGES}ページまでです。分けて送信してください。",
    "pdf_too_complex": "PDFファイルが複雑すぎて変換できません。画像を小さくして作り直してください。",
}
