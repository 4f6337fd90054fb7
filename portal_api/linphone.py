"""Linphone's provisioning document: a telephone that reads it is set up. Pure.

Sections and entries are those of Linphone's own configuration file, in the XML form it fetches.
https://wiki.linphone.org/xwiki/wiki/public/view/Linphone/Remote%20provisioning/
"""

from dataclasses import dataclass
from xml.etree import ElementTree

from store.provisioning_links import Provisioned

NAMESPACE = "http://www.linphone.org/xsds/lpconfig.xsd"
MEDIA_TYPE = "application/xml"


@dataclass(frozen=True)
class SipServer:
    """Where telephones register."""

    host: str
    port: int
    transport: str
    """`udp` or `tls`."""


def provisioning_document(device: Provisioned, server: SipServer) -> bytes:
    """The settings of one device: one account, registered at once."""
    proxy = f"<sip:{server.host}:{server.port};transport={server.transport}>"
    identity = f"sip:{device.username}@{server.host}"
    sections = {
        "misc": {"transient_provisioning": "1"},
        "sip": {"default_proxy": "0", "media_encryption": "none"},
        "proxy_0": {
            "reg_proxy": proxy,
            "reg_route": proxy,
            "reg_identity": f'"{_quoted(device.name)}" <{identity}>' if device.name else f"<{identity}>",
            "reg_sendregister": "1",
            "reg_expires": "300",
            "publish": "0",
            "dial_escape_plus": "0",
        },
        "auth_info_0": {
            "username": device.username,
            "passwd": device.password,
            "algorithm": "MD5",
        },
    }
    root = ElementTree.Element("config", xmlns=NAMESPACE)
    for name, entries in sections.items():
        section = ElementTree.SubElement(root, "section", name=name)
        for key, value in entries.items():
            ElementTree.SubElement(section, "entry", name=key, overwrite="true").text = value
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _quoted(name: str) -> str:
    return "".join(sign for sign in name if sign not in '"\\')
