"""The `server` block of the configuration: where probes, metrics and state are served."""

from ipaddress import ip_address

from pydantic import Field, SecretStr, field_validator, model_validator

from stream.core.strict import Strict


class ServerSettings(Strict):
    """One server a process; probes are open to all, the rest only to loopback or with the token."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for all")
    port: int | None = Field(8080, ge=0, le=65_535, description="0: any free port (printed); null: no server")
    token: SecretStr | None = Field(None, description="as Bearer or ?token=; required where host is not loopback")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        given = token.get_secret_value() if token else ""
        if not (given.isascii() and given.isprintable()) or " " in given:
            raise ValueError("it must be letters, digits and signs of ASCII without spaces: it travels in a header")
        return token

    @model_validator(mode="after")
    def _guarded(self) -> "ServerSettings":
        if self.port is not None and not self.loopback and not (self.token and self.token.get_secret_value()):
            raise ValueError("token is required where host is not loopback")
        return self
