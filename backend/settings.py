"""The one place that reads the environment. Built once at a process's edge; below that, functions take plain values.

Every variable begins with `G2FACE_`; groups are set off by `__`, as in `G2FACE_LABELSTUDIO__URL`. Any of them may also
be a file in /run/secrets, named like the variable in lower case; the environment wins. A variable that does not exist
is refused, for a mistyped one would go unnoticed and leave a default in force.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from backend.errors import ConfigError
from g2face_model import atomic_file

PREFIX: Final = "G2FACE_"
_ENGINES_OWN: Final = frozenset({"G2FACE_MODEL__WEIGHTS_DIR"})  # read by the engine itself
_SECRETS_DIR: Final = Path("/run/secrets")
_KEY_BYTES: Final = 32
_Queue = Literal["interactive", "bulk"]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("an address is http://host or https://host, with a port and a path if need be")
    if parts.username or parts.password:
        raise ValueError("an address holds no user name or password: those have settings of their own")
    return url.rstrip("/")


def _list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _KEY_BYTES:
        raise ValueError(f"a key has at least {_KEY_BYTES} characters")
    return secret


def _host(name: str) -> str:
    if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", name.lower()) is None:
        raise ValueError("a host is a name alone, as images.example.org, without scheme, port or path")
    return name.lower()


def _prefix(address: str) -> str:
    if re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[^/]+)*/?", address) is None:
        raise ValueError("a prefix is s3://bucket or s3://bucket/folder")
    return address.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
Host = Annotated[str, AfterValidator(_host)]
Hops = Annotated[int, Field(ge=0, le=9)]  # proxies in front that note truly whom they pass on; nobody is believed else
Key = Annotated[SecretStr, AfterValidator(_long)]
Port = Annotated[int, Field(ge=1, le=65535)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LabelStudioSettings(_Group):
    """Where Label Studio is and as whom we speak to it."""

    url: Address = "http://localhost:8080"
    api_key: SecretStr | None = None
    verify_tls: bool = True
    allowed_image_hosts: Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_list)] = ()  # beside its own

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a browser sends it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class PluginSettings(_Group):
    """The ML backend and the addresses of anonymized images."""

    host: str = "127.0.0.1"
    port: Port = 9090
    public_url: Address = "http://localhost:9090"
    backend_url: Address | None = None  # as Label Studio reaches the plugin: under the public address unless set
    path_secret: SecretStr | None = None
    user: str | None = None
    password: SecretStr | None = None
    link_key: Key | None = None
    link_lifetime_s: int = Field(default=0, ge=0)  # 0: image addresses do not expire
    allowed_origins: Annotated[tuple[Address, ...], NoDecode, BeforeValidator(_list)] = ()  # Label Studio's own


class IntakeSettings(_Group):
    """The pages of the project managers."""

    host: str = "127.0.0.1"
    port: Port = 9092
    max_upload_bytes: int = Field(default=512 * 1024**2, gt=0)
    s3_prefixes: Annotated[tuple[Prefix, ...], NoDecode, BeforeValidator(_list)] = ()  # what managers may collect from
    session_key: Key | None = None
    trusted_proxies: Hops = 0


class CustodySettings(_Group):
    """Where sealed originals and keys lie. No process needs both private keys, and the web servers need neither."""

    vault_url: SecretStr | None = None
    keys_url: SecretStr | None = None
    master_public_key_file: Path | None = None
    master_private_key_file: Path | None = None
    inbox_public_key_file: Path | None = None
    inbox_private_key_file: Path | None = None
    key_provider: Literal["file", "shares", "vault", "aws"] = "file"  # what the master private key's file needs to open
    share_files: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_list)] = ()  # unset: asked for at the terminal
    transit_url: Address | None = None  # HashiCorp Vault
    transit_key: str = "g2face-master"
    transit_token: SecretStr | None = None
    kms_key_id: str | None = None  # AWS KMS; its credentials come the way of AWS's own library
    kms_url: Address | None = None  # AWS's own unless set


class AdminSettings(_Group):
    """The restricted endpoint: recovery, withdrawal, keys, audit."""

    host: str = "127.0.0.1"
    port: Port = 9191
    public_url: Address = "http://localhost:9191"
    session_key: Key | None = None
    trusted_proxies: Hops = 0
    approvals: int = Field(default=1, ge=0, le=2)  # by other people than who asks; 0 is for a pilot of one person
    request_hours: int = Field(default=72, ge=1)  # a request that is not decided by then has expired
    retrieval_minutes: int = Field(default=15, ge=1)  # an approved one can be retrieved for so long, once
    grace_days: int = Field(default=7, ge=0)  # between a withdrawal and the shredding
    forensic_mark: bool = False  # a mark nobody sees in what is retrieved; without it, it is bit-exact
    heads_command: str | None = None  # gets each signed head of the audit log on its standard input
    oidc_issuer: Address | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None


class WorkerSettings(_Group):
    """How the anonymizing processes run."""

    device: str = "auto"
    threads: int = Field(default=2, ge=1)
    queues: Annotated[tuple[_Queue, ...], NoDecode, BeforeValidator(_list), Field(min_length=1)] = get_args(_Queue)
    lease_s: int = Field(default=300, ge=10)
    max_attempts: int = Field(default=5, ge=1)
    metrics_port: Port | None = None
    admin_url: Address = "http://localhost:9191"  # the admin, as the workers reach it; for pilot reports
    admin_token: SecretStr | None = None  # of a program that may ask for originals; no pilot reports without


class LogSettings(_Group):
    """What is logged. Whatever the level, secrets and people are left out."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    json_lines: bool = Field(default=True, alias="json")


class Settings(BaseSettings):
    """Everything that can be set. Paths that are not set lie under `data_dir`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Path("g2face-data")
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    storage_url: str | None = None
    labelstudio: LabelStudioSettings = LabelStudioSettings()
    plugin: PluginSettings = PluginSettings()
    intake: IntakeSettings = IntakeSettings()
    custody: CustodySettings = CustodySettings()
    admin: AdminSettings = AdminSettings()
    worker: WorkerSettings = WorkerSettings()
    logs: LogSettings = LogSettings()

    @classmethod
    def load(cls, *, secrets_dir: Path = _SECRETS_DIR) -> Settings:
        """What the environment and `secrets_dir` say. Raises `ConfigError` naming every variable that is wrong."""
        names = [name.upper() for name in _given_names(secrets_dir) if name.upper().startswith(PREFIX)]
        if complaints := list(_unknown(names)):
            raise ConfigError("; ".join(complaints))
        try:
            options: dict[str, Any] = {"_secrets_dir": secrets_dir}
            return cls(**options)
        except ValidationError as error:
            raise ConfigError("; ".join(_complaints(error))) from None
        except SettingsError:
            raise ConfigError(f"a {PREFIX} variable cannot be read: set single values, not whole groups") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then secret files; no .env file is read behind anybody's back."""
        return init_settings, env_settings, _SecretFiles(file_secret_settings, secrets_dir_missing="ok")

    # What is not set lies in data_dir, which is made, for its owner alone, when first asked for.

    def database(self) -> str:
        """The ledger's and the accounts' database."""
        return self._database(self.database_url, "ledger.sqlite3")

    def vault(self) -> str:
        """The database of sealed originals and the audit log."""
        return self._database(self.custody.vault_url, "vault.sqlite3")

    def keys(self) -> str:
        """The database of the subjects' keys."""
        return self._database(self.custody.keys_url, "keys.sqlite3")

    def redis(self) -> str | None:
        """Redis's address; None when a server of our own is to be started."""
        return None if self.redis_url is None else self.redis_url.get_secret_value()

    def storage(self) -> str:
        """Where blobs are kept."""
        return self.storage_url or self._in_data_dir("blobs").as_uri()

    def master_public_key(self) -> Path:
        return self.custody.master_public_key_file or self._in_data_dir("master.pub")

    def master_private_key(self) -> Path:
        """Read by the admin's process alone."""
        return self.custody.master_private_key_file or self._in_data_dir("admin", "master.key")

    def retired_master_keys(self) -> Path:
        """The folder of older master private keys, beside the current one; each stays until nothing needs it."""
        return self.master_private_key().parent / "retired"

    def inbox_public_key(self) -> Path:
        return self.custody.inbox_public_key_file or self._in_data_dir("inbox.pub")

    def inbox_private_key(self) -> Path:
        """Read by the workers alone."""
        return self.custody.inbox_private_key_file or self._in_data_dir("worker", "inbox.key")

    def link_key(self) -> bytes:
        """What image addresses are signed with."""
        return self._key(self.plugin.link_key, "link.key")

    def session_key(self) -> bytes:
        """What the managers' session cookies are signed with."""
        return self._key(self.intake.session_key, "session.key")

    def admin_session_key(self) -> bytes:
        """What the admins' session cookies are signed with."""
        return self._key(self.admin.session_key, "admin", "session.key")

    def second_factor_key(self) -> bytes:
        """What the admins' one-time codes are derived from: whoever has the database alone cannot make them."""
        return self._key(None, "admin", "second-factor.key")

    def voucher_key(self) -> bytes:
        """What the admin vouches with for accounts and tokens: whoever can write to their database cannot make one."""
        return self._key(None, "admin", "voucher.key")

    def latest_vouchers(self) -> Path:
        """Which of its vouchers the admin gave last: a row that was right before is not put back."""
        return self._in_data_dir("admin", "vouchers.txt")

    def pseudonym_key(self) -> bytes:
        """What subjects are named with in the audit log."""
        return self._key(None, "admin", "pseudonym.key")

    def signing_key(self) -> Path:
        """The private key that signs receipts and heads of the audit log; the admin's process makes it."""
        return self._in_data_dir("admin", "signing.key")

    def audit_heads(self) -> Path:
        """Where signed heads of the audit log are added, line by line."""
        return self._in_data_dir("admin", "audit-heads.jsonl")

    def allowed_origins(self) -> tuple[str, ...]:
        """Whose pages may load anonymized images: Label Studio's, unless others are named."""
        return self.plugin.allowed_origins or (self.labelstudio.origin,)

    def backend_host(self) -> str:
        """Host and port under which Label Studio reaches the plugin."""
        return urlsplit(self.plugin.backend_url or self.plugin.public_url).netloc

    def _database(self, url: SecretStr | None, name: str) -> str:
        return f"sqlite:///{self._in_data_dir(name)}" if url is None else url.get_secret_value()

    def _in_data_dir(self, *names: str) -> Path:
        path = self.data_dir.resolve().joinpath(*names)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
        except OSError:
            raise ConfigError(f"{PREFIX}DATA_DIR is not a folder that can be written to") from None
        return path

    def _key(self, given: SecretStr | None, *names: str) -> bytes:
        return _kept_key(self._in_data_dir(*names)) if given is None else given.get_secret_value().encode()


class _SecretFiles(NestedSecretsSettingsSource):
    """Only our own: other programs' secrets lie in the same folder."""

    def load_secrets(self, path: Path) -> dict[str, str]:  # type: ignore[override]
        """By variable in lower case, what the files say; an empty one says nothing."""
        said = {file.name.lower(): file.read_text().strip() for file in _own_files(path)}
        return {name: content for name, content in said.items() if content}


def _own_files(secrets_dir: Path) -> list[Path]:
    if not secrets_dir.is_dir():
        return []
    return [file for file in secrets_dir.iterdir() if file.is_file() and file.name.upper().startswith(PREFIX)]


def _given_names(secrets_dir: Path) -> Iterator[str]:
    yield from os.environ
    yield from (file.name for file in _own_files(secrets_dir))


def _known() -> Iterator[str]:
    """Every variable that there is."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from (
                f"{PREFIX}{name}__{inner.alias or inner_name}".upper()
                for inner_name, inner in group.model_fields.items()
            )
        else:
            yield f"{PREFIX}{name}".upper()


def _unknown(names: Iterable[str]) -> Iterator[str]:
    known = {*_known(), *_ENGINES_OWN}
    for name in sorted(set(names) - known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        yield f"{name} is not a setting" + (f"; is {near[0]} meant?" if near else "")


def _complaints(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_input=False, include_context=False, include_url=False):
        variable = PREFIX + "__".join(str(part) for part in detail["loc"] if not isinstance(part, int)).upper()
        yield f"{variable}: {detail['msg']}"


def _kept_key(path: Path) -> bytes:
    """The key in `path`, made there at random if there is none; of two processes at once, both get the first one's."""
    with contextlib.suppress(FileNotFoundError):
        return _read_key(path)
    try:
        with contextlib.suppress(FileExistsError):
            atomic_file.create(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)
        return _read_key(path)
    except OSError:
        raise ConfigError(f"{path.name} cannot be made in the data folder") from None


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path.name} in the data folder is not a key")
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path.name} in the data folder can be read by others: chmod 600 it")
    return key
