"""`python -m denwaban`: the operator's command line. `--help` tells everything."""

import argparse
import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from denwaban import commands
from denwaban.archive import BackupRefused
from settings import SettingsRefused, read_settings
from store.e164 import NotAPhoneNumber
from store.errors import NotFound, StoreError
from store.models import DidLocation, NumberStyle, NumberUse, Role
from store.trunks import CODECS

TOKEN_ROLES = [role.value for role in Role if role is not Role.MEMBER]
Parser = argparse.ArgumentParser


def main(arguments: list[str] | None = None) -> None:
    """Run one command and print what it tells, as JSON. Exit status 1 where it cannot be done."""
    given = _parser().parse_args(arguments)
    try:
        settings = read_settings(os.environ, Path.cwd())
        told = asyncio.run(given.command(given, settings))
    except commands.Failed as failed:
        _print(failed.told)
        sys.exit(1)
    except NotFound as missing:
        sys.exit(f"denwaban: there is no such thing: {missing}")
    except NotAPhoneNumber:
        sys.exit("denwaban: this is no phone number")
    except FileExistsError as there:
        sys.exit(f"denwaban: {there.filename} is there already")
    except (SettingsRefused, StoreError, BackupRefused, OSError) as reason:
        sys.exit(f"denwaban: {reason}")
    except SQLAlchemyError as reason:
        sys.exit(f"denwaban: the database does not work: {str(reason).splitlines()[0]}")
    _print(told)


def _print(told: Any) -> None:
    print(told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, indent=1))


def _parser() -> Parser:
    parser = Parser(
        prog="denwaban",
        description="Works on the database and the files of the instance whose DENWABAN_* settings it finds; "
        "the instance may run meanwhile, except for restore. Prints JSON.",
    )
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    _accounts(_group(subjects, "account", "customers"))
    _numbers(_group(subjects, "number", "phone numbers"))
    _devices(_group(subjects, "device", "SIP IDs"))
    _trunks(_group(subjects, "trunk", "lines to carriers"))
    _calls(_group(subjects, "calls", "call details"))
    _users(_group(subjects, "user", "people who sign in"))
    _tokens(_group(subjects, "token", "API tokens"))
    _command(subjects, "status", commands.show_status, "how it is doing; exit status 1 where it is not ready")
    backup = _command(subjects, "backup", commands.make_backup, "write database and media into one new file")
    backup.add_argument("file", type=Path)
    check = _command(
        subjects, "check-backup", commands.check_backup, "read a back-up to its end and check it"
    )
    check.add_argument("file", type=Path)
    restore = _command(
        subjects, "restore", commands.restore_backup, "put a back-up into an empty instance that does not run"
    )
    restore.add_argument("file", type=Path)
    restore.add_argument(
        "--other-key", action="store_true", help="although its secrets are sealed with another secret key"
    )
    return parser


def _accounts(group: Any) -> None:
    create = _command(group, "create", commands.create_account, "make an account")
    create.add_argument("name")
    _command(group, "list", commands.list_accounts, "list all accounts")
    export = _command(group, "export", commands.export_account, "write an account's settings to a new file")
    export.add_argument("account", help="its id or its name")
    export.add_argument("file", type=Path)
    export.add_argument("--secrets", action="store_true", help="with passwords and keys, in clear")
    take_in = _command(group, "import", commands.import_account, "make an account of such a file")
    take_in.add_argument("file", type=Path)


def _numbers(group: Any) -> None:
    add = _command(group, "create", commands.add_number, "give an account a number")
    add.add_argument("number", help="in any usual spelling, as 03-1234-5678")
    _of_account(add)
    add.add_argument("--use", choices=[use.value for use in NumberUse], default=NumberUse.VOICE.value)
    add.add_argument("--name", default="")
    _of_account(_command(group, "list", commands.list_numbers, "list an account's numbers"))


def _devices(group: Any) -> None:
    create = _command(group, "create", commands.create_device, "make a SIP ID; its password is shown once")
    _of_account(create)
    create.add_argument("--username")
    create.add_argument("--name", default="")
    _of_account(_command(group, "list", commands.list_devices, "list an account's SIP IDs"))


def _trunks(group: Any) -> None:
    create = _command(group, "create", commands.create_trunk, "make a trunk; it is in use at once")
    create.add_argument("name")
    create.add_argument("--uri", required=True, help="where calls go, as sip:192.0.2.1:5060;transport=tcp")
    create.add_argument("--priority", type=int, default=10, help="smaller ones are tried first")
    create.add_argument("--accept", action="append", default=[], help="network it calls from; repeatable")
    create.add_argument("--registers", action="store_true", help="log in there; calls come over that")
    create.add_argument("--username")
    create.add_argument("--password-file", type=Path, help="a file that holds it; - is standard input")
    create.add_argument("--from-domain")
    create.add_argument("--did", choices=[one.value for one in DidLocation], default=DidLocation.REQUEST_URI)
    create.add_argument("--numbers", choices=[one.value for one in NumberStyle], default=NumberStyle.NATIONAL)
    create.add_argument("--codec", action="append", choices=CODECS, help="repeatable; without it: all")
    create.add_argument("--t38", action="store_true", help="faxes over T.38")
    create.add_argument("--emergency", action="store_true", help="takes 110, 118 and 119")
    create.add_argument("--disabled", action="store_true", help="not in use yet")
    _command(group, "list", commands.list_trunks, "list all trunks, and where they are registered")
    delete = _command(group, "delete", commands.delete_trunk, "delete a trunk; calls on it go on")
    delete.add_argument("trunk", help="its id or its name")


def _calls(group: Any) -> None:
    about = "make a month of call details again from Asterisk's events; exit status 1 where they differ"
    recompute = _command(group, "recompute", commands.recompute_calls, about)
    recompute.add_argument("--month", required=True, type=_month, help="Japan's, as 2026-11")


def _month(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError("wants a month, as 2026-11")
    year, month = text.split("-")
    return int(year), int(month)


def _users(group: Any) -> None:
    create = _command(group, "create", commands.create_user, "make a user; the password is shown once")
    create.add_argument("login")
    create.add_argument("--role", choices=[role.value for role in Role], required=True)
    create.add_argument("--account", help="its id or its name; none for an operator")
    create.add_argument("--name", default="")
    create.add_argument("--device", action="append", default=[], help="id of a member's device; repeatable")
    reset = _command(
        group, "reset-password", commands.reset_password, "make a new password, switch one-time codes off"
    )
    reset.add_argument("login")


def _tokens(group: Any) -> None:
    create = _command(group, "create", commands.create_token, "make a token; it is shown once")
    create.add_argument("--role", choices=TOKEN_ROLES, required=True)
    create.add_argument("--account", help="its id or its name; none for an operator")
    create.add_argument("--label", default="made at the terminal")
    create.add_argument(
        "--scope", action="append", help="as messages:read; repeatable; without it: everything"
    )
    create.add_argument("--days", type=int, help="for how many days; without it: until revoked")
    create.add_argument("--bare", action="store_true", help="print nothing but the token")
    revoke = _command(group, "revoke", commands.revoke_token, "end a token at once")
    revoke.add_argument("token", help="its id, or the beginning of it that the token shows after dwb_")


def _group(subjects: Any, name: str, about: str) -> Any:
    return subjects.add_parser(name, help=about, description=about).add_subparsers(
        required=True, metavar="COMMAND"
    )


def _command(group: Any, name: str, command: commands.Command, about: str) -> Parser:
    parser: Parser = group.add_parser(name, help=about, description=about)
    parser.set_defaults(command=command)
    return parser


def _of_account(parser: Parser) -> None:
    parser.add_argument("--account", required=True, help="its id or its name")


if __name__ == "__main__":
    main()
