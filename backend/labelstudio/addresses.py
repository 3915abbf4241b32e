"""Where a task's image is, and whether we may go there. Pure but for the name look-up that is given in."""

from __future__ import annotations

import base64
import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlencode, urljoin, urlsplit

from backend.errors import LabelStudioError, LabelStudioRefusedError

Resolve = Callable[[str, int], list[str]]  # host, port -> IP addresses
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CLOUD = ("s3", "gs", "azure-blob")  # Label Studio's own spelling of buckets that are connected to it
_MEDIA = ("/data/", "/tasks/", "/storage-data/")  # where Label Studio serves images
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """One place to fetch from. `pinned_ip` is the address its name had when it was checked, None for Label Studio
    itself, the only place that is shown our key."""

    url: str
    pinned_ip: str | None


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in one spelling. Raises LabelStudioRefusedError when it has none."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.hostname}:{_port(parts)}"


def target(
    address: str, *, labelstudio_url: str, allowed_hosts: Collection[str], task_id: int | None, resolve: Resolve
) -> Target:
    """Where to fetch the image from that a task of Label Studio gives as `address`.

    Upload and local-file paths and connected buckets go through Label Studio. Any other place must be http(s) on an
    allowed host whose every address is public, so that a task cannot make us call into our own network.

    Raises LabelStudioRefusedError for anything else; LabelStudioError when the name cannot be looked up.
    """
    scheme = address.partition("://")[0].lower()
    if scheme in _CLOUD:
        return Target(_through_storage(address, labelstudio_url, task_id), None)
    url = join(labelstudio_url.rstrip("/") + "/", address)
    if origin(url) == origin(labelstudio_url):
        return Target(_media(url, labelstudio_url), None)
    parts = _split(url)
    host = parts.hostname or ""
    if host not in allowed_hosts:
        raise LabelStudioRefusedError("the image is on a host that is not allowed")
    return Target(url, _public_ip(host, _port(parts), resolve))


def join(base: str, address: str) -> str:
    """The address as a browser at `base` would understand it. Raises LabelStudioRefusedError when it is malformed."""
    try:
        return urljoin(base, address)
    except ValueError:
        raise LabelStudioRefusedError("the image's address is malformed") from None


def look_up(host: str, port: int) -> list[str]:
    """The IP addresses of a host. Raises LabelStudioError when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise LabelStudioError("the image's host has no known address") from None
    return [str(entry[4][0]) for entry in found]


def _media(url: str, labelstudio_url: str) -> str:
    """With our key at hand, only what holds images is asked for: a task must not make us call the API."""
    path = unquote(_split(url).path).removeprefix(_split(labelstudio_url).path.rstrip("/"))
    if not path.startswith(_MEDIA) or ".." in path.split("/"):
        raise LabelStudioRefusedError("the image's address is not one of Label Studio's images")
    return url


def _through_storage(address: str, labelstudio_url: str, task_id: int | None) -> str:
    if task_id is None:
        raise LabelStudioRefusedError("an image in a connected bucket can only be fetched for a task")
    query = urlencode({"fileuri": base64.b64encode(address.encode()).decode()})
    return f"{labelstudio_url.rstrip('/')}/tasks/{task_id}/resolve/?{query}"


def _public_ip(host: str, port: int, resolve: Resolve) -> str:
    addresses = resolve(host, port)
    if not addresses or not all(_is_public(address) for address in addresses):
        raise LabelStudioRefusedError("the image's host is in a private network")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # Forms that carry an IPv4 address inside say nothing about where that one leads.
        if ip.sixtofour or ip.teredo or ip in _NAT64:
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        raise LabelStudioRefusedError("the image's address is malformed") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise LabelStudioRefusedError("the image's address is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise LabelStudioRefusedError("the image's address carries credentials")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS[parts.scheme]
