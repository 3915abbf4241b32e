"""A real S3 as far as HTTP goes: moto's server on a free port, found the way AWS's own libraries find one."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import s3fs
from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "an example of a secret",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket, and what is needed to look into it. environment: what a process needs to reach it."""

    name: str
    environment: Mapping[str, str]
    client: Any

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Lay objects into it, by key."""
        for key, data in objects.items():
            self.client.put_object(Bucket=self.name, Key=key, Body=data)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Nobody may read what lies in it meanwhile; what it holds may still be listed."""
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{self.name}/*",
                }
            ],
        }
        self.client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))
        try:
            yield
        finally:
            self.client.delete_bucket_policy(Bucket=self.name)

    def names(self) -> list[str]:
        """What lies in it."""
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]


@contextmanager
def running() -> Iterator[str]:
    """The server; its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(address: str) -> Bucket:
    """A bucket of its own on the server at `address`."""
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": address}
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    name = f"photos-{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return Bucket(name, environment, client)


def forget_connections() -> None:
    """The next file system reads the environment anew; one that is there already would go on as it began."""
    s3fs.S3FileSystem.clear_instance_cache()
