"""A device as Asterisk's dynamic objects. Pure."""

from pbx.dialplan import names
from pbx.dialplan.render import Objects, media_fields, quoted
from settings import Settings
from store.provisioning import WantedDevice


def device_objects(settings: Settings, device: WantedDevice, password: str) -> Objects:
    """A device as Asterisk's dynamic objects, in the order they must be made: (type, fields).

    The endpoint comes last, since it refers to the others. It is told of its account's mailbox without
    asking; to colleagues it shows its name and its short number.
    """
    username = device.username
    auth = {"auth_type": "userpass", "username": username, "password": password}
    aor = {
        "max_contacts": "5",
        "remove_existing": "yes",
        "minimum_expiration": "60",
        # How long it takes to answer is shown; and a way through a router stays open.
        "qualify_frequency": "60",
    }
    endpoint = {
        "context": names.CONTEXT_DEVICE,
        "disallow": "all",
        "allow": "!all,ulaw,alaw",
        "auth": username,
        "aors": username,
        "identify_by": "username",
        "mailboxes": f"{device.account_id}@{names.CONTEXT_LAMP}",
        "callerid": f'"{quoted(device.name)}" <{device.shown_as}>',
        **media_fields(settings),
    }
    return [("auth", auth), ("aor", aor), ("endpoint", endpoint)]
