"""From what happened to a notice: the same words for every service."""

from pathlib import Path

from notify.service import Attachment, Notice
from store.message_reports import JAPAN, MessageReport
from store.models import Fax, FaxDirection, NotificationRule, NotificationService, VoiceMessage

LARGEST_PDF_BYTES = 8 * 1024 * 1024
"""Many mail servers take 10 MB, and base64 makes four bytes of three."""

NAMES = {
    "slack": "Slack",
    "chatwork": "Chatwork",
    "teams": "Microsoft Teams",
    "line": "LINE",
    "line_works": "LINE WORKS",
    "google_chat": "Google Chat",
    "webhook": "Webhook",
    "mail": "メール",
}


def message_notice(message: VoiceMessage, report: MessageReport, sound: Path) -> Notice:
    """A message with its sound; without it where the file is gone. Reads the file: not for the event loop."""
    name = f"rusurepo_{message.started_at.astimezone(JAPAN):%Y%m%d_%H%M%S}.wav"
    return Notice(report.title, report.facts, report.body, report.link, _attached(sound, name))


def fax_notice(fax: Fax, report: MessageReport, pdf: Path | None) -> Notice:
    """A fax with its pages, where these are not too many for a mail. Reads the file."""
    way = "received" if fax.direction is FaxDirection.IN else "sent"
    name = f"fax_{way}_{fax.started_at.astimezone(JAPAN):%Y%m%d_%H%M%S}.pdf"
    return Notice(report.title, report.facts, report.body, report.link, _pages(pdf, name))


def _pages(pdf: Path | None, name: str) -> Attachment | None:
    try:
        if pdf is None or pdf.stat().st_size > LARGEST_PDF_BYTES:
            return None
        return Attachment(name, "application/pdf", pdf.read_bytes())
    except OSError:
        return None


def test_notice(rule: NotificationRule, service: NotificationService, sound: Path) -> Notice:
    """A notice that says that it works, with a short sound, so that what a file needs is tried too."""
    facts = (("通知ルール", rule.name), ("通知サービス", name_of(service)))
    body = "留守レポの通知はこのように届きます。"
    return Notice("留守レポ: テスト通知", facts, body, None, _attached(sound, "rusurepo_test.wav"))


def warning_notice(rule: NotificationRule, service: NotificationService) -> Notice:
    """Tells an administrator that a service has stopped working."""
    since = f"{service.broken_since.astimezone(JAPAN):%Y/%m/%d %H:%M}" if service.broken_since else ""
    facts = (("通知ルール", rule.name), ("通知サービス", name_of(service)), ("日時", since))
    body = (
        f"{service.broken_reason or '設定は直されています。'}\n"
        "直るまでこのサービスには通知されません。お客様ページの通知設定で設定を直し、"
        "テスト送信で確認してください。"
    )
    return Notice("留守レポ: 通知サービスに送信できません", facts, body)


def name_of(service: NotificationService) -> str:
    kind = NAMES.get(service.kind, service.kind)
    return f"{kind}({service.label})" if service.label else kind


def _attached(sound: Path, name: str) -> Attachment | None:
    try:
        return Attachment(name, "audio/wav", sound.read_bytes())
    except OSError:
        return None
