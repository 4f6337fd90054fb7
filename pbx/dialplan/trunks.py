"""Operators' trunks as Asterisk's dynamic objects, and what the dialplan must know of them. Pure."""

from collections.abc import Sequence

from pbx.dialplan import names
from pbx.dialplan.render import Objects, media_fields
from settings import Settings
from store.models import DidLocation, NumberStyle, Trunk

SETTINGS_TRUNK = "trunk-main"
SETTINGS_PRIORITY = 100
"""Where the trunk of the settings stands among the operator's."""


def endpoint_name(trunk_id: str) -> str:
    """It has a hyphen, which no device's name may have."""
    return f"trunk-{trunk_id}"


def endpoint_of(trunk: Trunk) -> str:
    return endpoint_name(trunk.id)


def told_of_trunks(trunks: Sequence[Trunk]) -> dict[str, str]:
    """What the dialplan must know: key within `TRUNK_FAMILY` -> value. `trunks` are in their order."""
    before = [endpoint_of(one) for one in trunks if one.priority < SETTINGS_PRIORITY]
    after = [endpoint_of(one) for one in trunks if one.priority >= SETTINGS_PRIORITY]
    told = {
        names.KEY_ORDINARY: "&".join([*before, SETTINGS_TRUNK, *after]),
        names.KEY_EMERGENCY: "&".join(endpoint_of(one) for one in trunks if one.emergency),
    }
    for trunk in trunks:
        if trunk.number_style is NumberStyle.E164:
            told[f"{names.STYLE_KEYS}/{endpoint_of(trunk)}"] = trunk.number_style.value
        if trunk.did_location is not DidLocation.REQUEST_URI:
            told[f"{names.DID_KEYS}/{endpoint_of(trunk)}"] = trunk.did_location.value
    return {key: value for key, value in told.items() if value}


def trunk_objects(settings: Settings, trunk: Trunk, password: str | None) -> Objects:
    """A trunk's objects in the order they must be made; those that refer to others come after them."""
    name = endpoint_of(trunk)
    endpoint = {
        "context": names.CONTEXT_TRUNK,
        # Its address tells it, or the registration it comes over: by its name anybody could come.
        "identify_by": "ip",
        "disallow": "all",
        "allow": f"!all,{','.join(trunk.codecs)}",
        "aors": name,
        **media_fields(settings),
        # Unset, it would be kept as the number "unknown", and stand for callers who are told by From only.
        "callerid": names.NAME_OF_TRUNKS,
        # The carrier alone may assert a caller's number, and is told ours though it be hidden (RFC 3325).
        "trust_id_inbound": "yes",
        "trust_id_outbound": "yes",
        "send_pai": "yes",
        "timers": "no",
        # Whoever calls from outside sends nobody anywhere.
        "allow_transfer": "no",
        "t38_udptl": "yes" if trunk.t38 else "no",
        "t38_udptl_ec": "redundancy",
        "t38_udptl_maxdatagram": "1440",
    }
    if trunk.from_domain:
        endpoint["from_domain"] = trunk.from_domain
    objects: Objects = []
    if trunk.username and password is not None:
        objects.append(("auth", {"auth_type": "userpass", "username": trunk.username, "password": password}))
        endpoint["outbound_auth"] = name
    objects += [("aor", {"contact": trunk.uri}), ("endpoint", endpoint)]
    if trunk.accept:
        objects.append(("identify", {"endpoint": name, "match": ",".join(trunk.accept)}))
    if trunk.registers and trunk.username:
        objects.append(("registration", _registration(trunk, name, trunk.username)))
    return objects


def _registration(trunk: Trunk, name: str, username: str) -> dict[str, str]:
    host = trunk.from_domain or trunk.uri.partition(":")[2].partition(";")[0]
    return {
        "server_uri": trunk.uri,
        "client_uri": f"sip:{username}@{host}",
        "contact_user": username,
        "outbound_auth": name,
        "endpoint": name,
        # Calls that come over this registration are the trunk's, wherever they come from.
        "line": "yes",
        "expiration": "300",
        "retry_interval": "10",
        "forbidden_retry_interval": "60",
        "max_retries": "1000000",
        "auth_rejection_permanent": "no",
    }
