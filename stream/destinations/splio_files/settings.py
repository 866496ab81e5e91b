"""What a configuration may say of Splio's files. The mapping is in `preset.yaml`, what is added in `columns.py`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from stream.core.strict import Strict
from stream.core.units import Concurrency, Rate
from stream.destinations.base import RunSettings
from stream.destinations.splio_contacts.settings import DataApi
from stream.destinations.splio_files.columns import ROWS, RowMapping, rules_of
from stream.destinations.values import Country, without_default
from stream.mapping import Maps, Preset

COLUMN = r"[^;\"\s][^;\"\r\n\t]*"
KINDS = ("ssh-", "ecdsa-", "sk-")  # how a host key begins


class Subsequences(Strict):
    """Names that Splio's own import configuration has under the scope `contacts`, one for each kind of import."""

    insert: str = Field("crm", pattern=r"^[A-Za-z0-9-]+$", description="of the import that inserts and updates")
    update: str = Field("crmupd", pattern=r"^[A-Za-z0-9-]+$", description="of the import that only updates")


class CustomAttribute(Strict):
    """A custom attribute with the type it is created with."""

    expression: str = Field(description="its value")
    type: Literal["text", "int", "double", "date"] = Field("text", description="what it is created as")


class SplioFilesSettings(RunSettings):
    """The import folder of a Splio universe."""

    unused: ClassVar[frozenset[str]] = frozenset({"batch", "concurrency", "ordering", "coalesce", "quota"})

    type: Literal["splio_files"] = Field("splio_files", description="Splio contacts, as files over SFTP")
    universe: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="the universe's name, which is the login too")
    password: SecretStr | None = Field(
        None, description="of the SFTP login; Splio shows it once", json_schema_extra=without_default
    )
    private_key_file: Path | None = Field(
        None, description="PEM or OpenSSH file of the login's key, without passphrase, instead of a password"
    )
    host_key: str | None = Field(
        None,
        description="the server's public key, as ssh-keyscan prints it, or its SHA256:… fingerprint",
        json_schema_extra=without_default,
    )
    known_hosts: Path | None = Field(None, description="OpenSSH known_hosts file, instead of host_key")
    host: str = Field("sftp.splio.com", min_length=1, description="the SFTP server")
    port: int = Field(22, ge=1, le=65_535, description="its port")
    folder: str = Field("/imports", pattern=r"^/", description="where Splio looks for files")
    insert: bool = Field(True, description="true: new contacts are inserted; false: only those Splio has are updated")
    subsequence: Subsequences = Field(
        Subsequences(),
        description="which of Splio's imports takes the files",
        examples=[{"insert": "crm", "update": "crmupd"}],
    )
    segment: str | None = Field(
        None, description="condition: who is in; leaving it changes nothing", examples=["traits.tier | in('gold')"]
    )
    attributes: dict[str, str] = Field(
        {},
        description="more columns that Splio has: expressions",
        examples=[{"dateOfCreation": "timestamp | date('%Y%m%d')"}],
    )
    custom_attributes: dict[str, str | CustomAttribute] = Field(
        {},
        description="columns of your own: expressions, {expression, type}, or a list of traits of the same name",
        examples=[{"tier": "traits.tier"}],
    )
    api_key: SecretStr | None = Field(
        None,
        description="Data API key, with which custom attributes are looked up and missing ones created",
        examples=["${SPLIO_FILES_API_KEY}"],
    )
    base_url: DataApi = Field("https://api.splio.com", description="the Data API's address")
    fields_exist: bool = Field(
        False, description="true: you made sure that Splio has every custom attribute; needed without api_key"
    )
    max_rows: int = Field(
        ROWS, ge=1, le=ROWS, description="changed contacts with which a file goes out at once, and in it at most"
    )
    phone_format: Literal["00", "plus"] = Field("00", description="00: 0033612345678; plus: +33612345678")
    default_region: Country | None = Field(
        None, description="country (FR, US, …) of phone numbers without country code; null: those are left out"
    )
    rate_limit: Rate | None = Field(None, description="calls of the Data API; null: none")

    @property
    def address(self) -> str:
        """Where the files go."""
        return f"sftp://{self.host}{'' if self.port == 22 else f':{self.port}'}{self.folder}"

    @property
    def wanted_subsequence(self) -> str:
        """The import that the files are for."""
        return self.subsequence.insert if self.insert else self.subsequence.update

    @property
    def reminders(self) -> Sequence[str]:
        """What SFTP does not tell (seed 002)."""
        may = "insert new contacts and update those there are" if self.insert else "update contacts"
        import_of = f"the import of {self.wanted_subsequence} may {may}"
        return (f"ask your Splio account manager whether {import_of}, and whether it is declared under contacts",)

    def mapping(self, preset: Preset, *, config: Mapping[str, object], place: str) -> Maps:
        """The preset with the columns that were added, every value as the text that goes into a file."""
        rules = rules_of(self, preset, place)
        return RowMapping.of(self, preset, rules, config=config, place=place)

    @field_validator("folder")
    @classmethod
    def _plain(cls, folder: str) -> str:
        return folder.rstrip("/") or "/"

    @field_validator("password", "api_key")
    @classmethod
    def _bare(cls, secret: SecretStr | None) -> SecretStr | None:
        """A copied one often brings a line's end along."""
        if secret is not None and not secret.get_secret_value().strip():
            raise ValueError("it must not be blank")
        return secret and SecretStr(secret.get_secret_value().strip())

    @field_validator("host_key")
    @classmethod
    def _is_key(cls, key: str | None) -> str | None:
        """`ssh-keyscan` writes the host before a key; fingerprints are copied with and without what they begin with."""
        if key is None:
            return None
        words = key.split()
        if len(words) == 1 and re.fullmatch(r"(SHA256:)?[A-Za-z0-9+/]{43}=?", words[0]):
            return "SHA256:" + words[0].removeprefix("SHA256:").rstrip("=")
        while words and not words[0].startswith(KINDS):
            words.pop(0)
        if len(words) < 2:
            raise ValueError("it must be a key as `ssh-keyscan` prints it (ssh-ed25519 AAAA…) or SHA256:…")
        return " ".join(words[:2])

    @field_validator("custom_attributes", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """A list of names: traits of the same name."""
        if not isinstance(given, list):
            return given
        names = [str(name) for name in given]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is there twice")
        return {name: "traits.'" + name.replace("'", "''") + "'" for name in names}

    @field_validator("concurrency")
    @classmethod
    def _one_run(cls, concurrency: Concurrency) -> Concurrency:
        if concurrency != 1:
            raise ValueError("it must be 1: files go out one run after the other")
        return concurrency

    @field_validator("attributes", "custom_attributes", "fields")
    @classmethod
    def _are_columns(cls, columns: dict[str, Any]) -> dict[str, Any]:
        for column in columns:
            if not re.fullmatch(COLUMN, column):
                raise ValueError(f"{column!r} cannot be a column: no ; and no quotes, and not blank")
        return columns

    @field_validator("fields")
    @classmethod
    def _email_stays(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("email", "") is None:
            raise ValueError("email cannot be removed: Splio matches contacts by it")
        return fields

    @model_validator(mode="after")
    def _fits_together(self) -> "SplioFilesSettings":
        if (self.password is None) == (self.private_key_file is None):
            raise ValueError("password or private_key_file is required, one of them")
        if (self.host_key is None) == (self.known_hosts is None):
            raise ValueError(
                "host_key or known_hosts is required, one of them: "
                f"`ssh-keyscan {self.host}` prints the key, Splio's support confirms it"
            )
        if self.custom_attributes and self.api_key is None and not self.fields_exist:
            raise ValueError(
                "custom_attributes need api_key, or fields_exist: true once you have made sure that Splio has each: "
                "it skips a whole file for one unknown column"
            )
        return self
