"""When the control plane does not come back, its callers must not wait in silence: the dialplan takes them.

A controller that is killed is back within two seconds and takes its calls up itself. This is for one that
cannot start, or hangs.
"""

import asyncio
import logging

import aiohttp

from pbx.dialplan.names import APPLICATION, CONTEXT_AWAY
from settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 1.0


async def release_callers(settings: Settings) -> None:
    """Watch, and hand waiting callers to the dialplan while the control plane is not ready; for ever."""
    headers = {"Authorization": aiohttp.encode_basic_auth(APPLICATION, settings.ari_password)}
    limit = aiohttp.ClientTimeout(total=3)
    async with (
        aiohttp.ClientSession(timeout=limit) as api,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{settings.ari_port}/", headers=headers, timeout=limit
        ) as ari,
    ):
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await _control_plane_is_down(api, settings):
                    await _release(ari)
            except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
                # The API or Asterisk is being started as well.
                continue


async def _control_plane_is_down(api: aiohttp.ClientSession, settings: Settings) -> bool:
    """True only when the database answers and says so: without it nobody knows."""
    async with api.get(f"{settings.api_url}/readyz") as answer:
        parts = {part["part"]: part["ready"] for part in (await answer.json())["parts"]}
    return bool(parts.get("database")) and not parts.get(f"{settings.node}.pbx", False)


async def _release(ari: aiohttp.ClientSession) -> None:
    async with ari.get(f"ari/applications/{APPLICATION}") as answer:
        if answer.status != 200:
            return
        channels = (await answer.json())["channel_ids"]
    for channel in channels:
        async with ari.get(f"ari/recordings/live/{channel}") as recording:
            if recording.status == 200:
                # Its own limits end it; then the dialplan says thank you.
                continue
        query = {"context": CONTEXT_AWAY, "extension": "s", "priority": "1"}
        async with ari.post(f"ari/channels/{channel}/continue", params=query) as answer:
            log.warning("a waiting caller goes to the dialplan: %d", answer.status)
