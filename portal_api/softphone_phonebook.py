"""The phonebook in the formats that softphones read: vCard 4 (RFC 6350), Linphone's friends. Pure."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from store.models.phonebook import StandbyType
from store.phonebook import Entry, NewNumber

LINE_BYTES = 75
"""RFC 6350, 3.2: longer lines are folded."""

LINPHONE_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<config xmlns="http://www.linphone.org/xsds/lpconfig.xsd"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://www.linphone.org/xsds/lpconfig.xsd lpconfig.xsd">\n'
)
LINPHONE_TAIL = "</config>\n"


def vcard(entry: Entry) -> str:
    """The entry as a vCard: UID, name, reading, company, numbers, memo."""
    lines = [
        "BEGIN:VCARD",
        "VERSION:4.0",
        f"UID:urn:uuid:{_uuid(entry.id)}",
        f"FN:{_text(entry.name)}",
    ]
    reading = f';SORT-AS="{_parameter(entry.reading)}"' if entry.reading else ""
    lines.append(f"N{reading}:{_text(entry.name)};;;;")
    if entry.company:
        lines.append(f"ORG:{_text(entry.company)}")
    lines += [_tel(one) for one in entry.numbers]
    if entry.memo:
        lines.append(f"NOTE:{_text(entry.memo)}")
    lines += [f"REV:{entry.updated_at:%Y%m%dT%H%M%SZ}", "END:VCARD"]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def linphone_friend(place: int, entry: Entry, host: str) -> str:
    """The entry in Linphone's configuration: a section `friend_N` per number, counted from `place`."""
    sections = []
    for position, one in enumerate(entry.numbers):
        name = f"{entry.name} ({one.label})" if one.label else entry.name
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        url = escape(f'"{shown}" <sip:{one.number.replace("#", "%23")}@{host}>')
        sections.append(
            f'  <section name="friend_{place + position}" overwrite="true">\n'
            f'    <entry name="url" overwrite="true">{url}</entry>\n'
            f'    <entry name="subscribe" overwrite="true">0</entry>\n'
            f'    <entry name="refkey" overwrite="true">{entry.id}.{position}</entry>\n'
            "  </section>\n"
        )
    return "".join(sections)


def linphone_settings(standby: StandbyType, vcard_url: str) -> str:
    """What Linphone needs to know of the phonebook beside its entries."""
    return (
        '  <section name="misc">\n'
        f'    <entry name="contacts-vcard-list" overwrite="true">{escape(vcard_url)}</entry>\n'
        "  </section>\n"
        '  <section name="denwaban">\n'
        f'    <entry name="standby_type" overwrite="true">{standby.value}</entry>\n'
        "  </section>\n"
    )


def _tel(one: NewNumber) -> str:
    label = f';X-LABEL="{_parameter(one.label)}"' if one.label else ""
    if one.number.startswith("+"):
        return f'TEL;VALUE=uri;TYPE="voice"{label}:tel:{one.number}'
    # A tel: URI of such a number would want a context (RFC 3966, 5.1.5).
    return f'TEL;VALUE=text;TYPE="voice"{label}:{_text(one.number)}'


def _uuid(entry_id: str) -> str:
    bounds: Sequence[tuple[int, int]] = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return "-".join(entry_id[first:last] for first, last in bounds)


def _text(value: str) -> str:
    for sign, written in (("\\", "\\\\"), ("\n", "\\n"), (",", "\\,"), (";", "\\;")):
        value = value.replace(sign, written)
    return value


def _parameter(value: str) -> str:
    """RFC 6868: a parameter has its own way with quotes."""
    for sign, written in (("^", "^^"), ("\n", "^n"), ('"', "^'")):
        value = value.replace(sign, written)
    return value


def _folded(line: str) -> str:
    """The line in pieces of at most 75 bytes, none of which cuts a character."""
    pieces = [""]
    room = LINE_BYTES
    for sign in line:
        size = len(sign.encode())
        if size > room:
            pieces.append("")
            room = LINE_BYTES - 1
        pieces[-1] += sign
        room -= size
    return "\r\n ".join(pieces)
