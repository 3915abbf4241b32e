from __future__ import annotations

import pytest

from backend.errors import LabelStudioError, LabelStudioRefusedError
from backend.labelstudio.addresses import Target, look_up, origin, target

HOME = "http://label-studio:8080/ls"


def _target(address: str, *ips: str, home: str = HOME, task_id: int | None = None) -> Target:
    return target(
        address,
        labelstudio_url=home,
        allowed_hosts={"images.example"},
        task_id=task_id,
        resolve=lambda host, port: list(ips),  # noqa: ARG005
    )


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/data/upload/3/ab-cat.png", "http://label-studio:8080/data/upload/3/ab-cat.png"),
        ("/ls/data/upload/3/ab-cat.png", "http://label-studio:8080/ls/data/upload/3/ab-cat.png"),
        (
            "http://label-studio:8080/data/local-files/?d=a/b.png",
            "http://label-studio:8080/data/local-files/?d=a/b.png",
        ),
        ("http://LABEL-STUDIO:8080/data/x", "http://LABEL-STUDIO:8080/data/x"),
    ],
)
def test_label_studios_own_images_are_fetched_from_it(address: str, url: str) -> None:
    assert _target(address) == Target(url, None)


def test_a_bucket_is_reached_through_label_studio() -> None:
    assert _target("s3://bucket/key.png", task_id=5).url == (
        "http://label-studio:8080/ls/tasks/5/resolve/?fileuri=czM6Ly9idWNrZXQva2V5LnBuZw%3D%3D"
    )
    with pytest.raises(LabelStudioRefusedError, match="for a task"):
        _target("s3://bucket/key.png")


def test_an_allowed_host_is_pinned_to_the_address_that_was_checked() -> None:
    assert _target("https://images.example/a", "93.184.215.14", "93.184.215.15") == Target(
        "https://images.example/a", "93.184.215.14"
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://label-studio:8080/api/current-user/token",
        "/api/tasks",
        "/data/../api/tasks",
        "/data/%2e%2e/api/tasks",
        "http://label-studio:8081/data/x",
        "https://label-studio:8080/data/x",
        "//evil.example/data/x",
        "http://evil.example/x",
        "http://images.example.evil.example/x",
        "http://user:pw@images.example/x",
        "http://label-studio:8080@evil.example/data/x",
        "file:///etc/passwd",
        "ftp://images.example/x",
        "http://[::1/x",
        "http://images.example:port/x",
    ],
)
def test_everywhere_else_is_refused(address: str) -> None:
    with pytest.raises(LabelStudioRefusedError):
        _target(address, "93.184.215.14")


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.20.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing binds to it
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:a00:1::1",
    ],
)
def test_an_allowed_name_that_leads_into_a_private_network_is_refused(ip: str) -> None:
    with pytest.raises(LabelStudioRefusedError, match="private"):
        _target("https://images.example/a", "93.184.215.14", ip)


def test_a_public_ipv6_address_will_do() -> None:
    assert _target("https://images.example/a", "2606:2800:21f:cb07:6820:80da:af6b:8b2c").pinned_ip is not None


def test_a_name_without_an_address_may_have_one_later() -> None:
    with pytest.raises(LabelStudioRefusedError):
        _target("https://images.example/a")
    with pytest.raises(LabelStudioError) as unknown:
        look_up("name.invalid", 80)
    assert unknown.value.retryable
    assert "name.invalid" not in str(unknown.value)
    assert look_up("127.0.0.1", 80) == ["127.0.0.1"]


def test_origins_are_spelt_alike() -> None:
    assert origin("HTTPS://Host/x") == origin("https://host:443/y") == "https://host:443"
