"""The few words of Asterisk's manager interface that faxes in tests need: log in, and originate."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """Which Asterisk, and as whom."""

    port: int
    user: str
    password: str


async def originate(login: Login, channel: str, caller: str, variables: dict[str, str], **more: str) -> None:
    """Have `channel` called; returns once Asterisk has taken the order. AssertionError when it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", login.port)
    try:
        await reader.readline()
        who = {"Username": login.user, "Secret": login.password, "Events": "off"}
        await _ask(reader, writer, {"Action": "Login", **who})
        await _ask(
            reader,
            writer,
            {
                "Action": "Originate",
                "Channel": channel,
                "CallerID": f"<{caller}>",
                "Async": "true",
                "Timeout": "60000",
                "Variable": ",".join(f"{name}={value}" for name, value in variables.items()),
                **more,
            },
        )
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
    writer.write("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
    said = b""
    async with asyncio.timeout(30):
        while (line := await reader.readline()).strip():
            said += line
    assert b"Response: Success" in said, said
