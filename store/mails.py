"""Mail that is no report of a message: written as a job, sent by the notification service."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from store.models import Job, JobState, new_id, now

SEND_MAIL = "send_mail"
"""Kind of job: send the mail that its payload is. The subject is the mail's own id."""

_jobs: Any = Job.__table__


@dataclass(frozen=True)
class WrittenMail:
    """A mail to one address, in plain text."""

    address: str
    title: str
    facts: tuple[tuple[str, str], ...]
    """Label and value, a line each."""

    body: str
    link: str | None = None


def send_mail(connection: Connection, account_id: str, mail: WrittenMail, at: datetime | None = None) -> str:
    """Have the mail sent, if this transaction is committed; gives its id."""
    mail_id, due = new_id(), at or now()
    connection.execute(
        insert(_jobs).values(
            id=new_id(),
            account_id=account_id,
            kind=SEND_MAIL,
            subject_id=mail_id,
            payload=asdict(mail),
            state=JobState.WAITING,
            run_at=due,
            attempts=0,
            created_at=now(),
        )
    )
    return mail_id


def mail_of(payload: dict[str, Any]) -> WrittenMail:
    """Read a job's payload."""
    facts = tuple((str(label), str(value)) for label, value in payload["facts"])
    return WrittenMail(payload["address"], payload["title"], facts, payload["body"], payload["link"])
