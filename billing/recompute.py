"""`python -m billing.recompute [--mend]`: rate every charged call again and compare.

Prints the totals and each difference; `--mend` writes a correcting charge for each. Exit status 1 where
there is a difference that was not mended.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from billing.rating import Recomputed, recompute
from settings import SettingsRefused, read_settings
from store.database import open_database
from store.models import now


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m billing.recompute", description="Rate all calls again.")
    options.add_argument("--mend", action="store_true", help="write a correcting charge for each difference")
    mend: bool = options.parse_args().mend
    try:
        settings = read_settings(os.environ, Path.cwd())
    except SettingsRefused as refused:
        sys.exit(str(refused))
    done = asyncio.run(_recompute(settings.database_url, mend))
    for one in done.differences:
        sys.stdout.write(f"{one.call_id}: charged {one.charged}, should be {one.should_be}\n")
    sys.stdout.write(f"{done.calls} calls, {done.yen} yen, {len(done.differences)} differences\n")
    if done.differences and not mend:
        sys.exit(1)


async def _recompute(url: str, mend: bool) -> Recomputed:
    database = open_database(url)
    try:
        return await recompute(database, mend, now())
    finally:
        await database.close()


if __name__ == "__main__":
    main()
