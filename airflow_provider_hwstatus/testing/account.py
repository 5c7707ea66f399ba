"""The account of the fake cloud: its credentials, projects, tokens and temporary keys."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from airflow_provider_hwstatus.core.connection.signing import AccessKey

REGION = "cn-north-4"
PROJECTS = {REGION: "0a1f9e2c3b4d4586a7b8c9d0e1f20306"}


@dataclass
class Login:
    """
    A token or a temporary key that was issued.

    :param expires_at: Seconds since 1970.
    :param project_id: The project that a token is valid for. None for a token without a project.
    """

    expires_at: float
    project_id: str | None = None
    security_token: str | None = field(default=None, repr=False)
    secret_key: str = field(default="", repr=False)


@dataclass
class Account:
    """
    An account. Its permanent credentials are the same in every run, so that a copied connection stays valid.

    :param projects: Project ids by name.
    :param lifetime: Seconds for which a new token or temporary key is valid.
    :param token_length: Characters of a new token.
    """

    region: str = REGION
    access_key: str = "HWSTATUSFAKEACCESS01"
    secret_key: str = field(default="hwstatusFakeSecretKey0123456789abcdefghi", repr=False)
    user: str = "airflow"
    password: str = field(default="Fake-Password-1", repr=False)
    domain_name: str = "hwstatus-fake"
    domain_id: str = "d0a1f9e2c3b4458697a8b9c0d1e2f304"
    user_id: str = "70a1f9e2c3b4458697a8b9c0d1e2f305"
    projects: dict[str, str] = field(default_factory=lambda: dict(PROJECTS))
    lifetime: float = 86400.0
    token_length: int = 1500  # real tokens have several KB
    tokens: dict[str, Login] = field(default_factory=dict, repr=False)
    temporary_keys: dict[str, Login] = field(default_factory=dict, repr=False)

    def issue_token(self, project_id: str | None, now: float) -> tuple[str, Login]:
        """Issue a token and return it. Earlier tokens stay valid."""
        token = f"MII{secrets.token_urlsafe(self.token_length)}"[: self.token_length]
        self.tokens[token] = Login(now + self.lifetime, project_id)
        return token, self.tokens[token]

    def issue_temporary_key(self, now: float) -> AccessKey:
        """Issue a temporary key and return it."""
        access_key = f"HST{secrets.token_hex(9).upper()}"[:20]
        key = AccessKey(access_key, secrets.token_urlsafe(30), secrets.token_urlsafe(300))
        self.temporary_keys[key.access_key] = Login(
            now + self.lifetime, secret_key=key.secret_key, security_token=key.security_token
        )
        return key

    def expire(self, now: float) -> None:
        """Expire all tokens and temporary keys issued so far."""
        for login in (*list(self.tokens.values()), *list(self.temporary_keys.values())):
            login.expires_at = min(login.expires_at, now)
