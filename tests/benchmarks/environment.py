"""The environment of measured programs: a temporary AIRFLOW_HOME and a trusted certificate."""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Prefixes of the user's environment variables that must not reach a measured program.
_EXCLUDED_VARIABLES = ("AIRFLOW_", "_AIRFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_DIR", "PYTHON")


@dataclass(frozen=True)
class Environment:
    """
    The environment of a measured program.

    :param variables: Environment variables.
    :param certificate: Path of the server's certificate and key.
    """

    variables: dict[str, str]
    certificate: Path


@contextmanager
def temporary_environment() -> Iterator[Environment]:
    """
    Create an environment, and remove it at the end of the block.

    Programs trust certifi's bundle and the server's certificate, so that loading the bundle takes as long as usual.
    """
    with tempfile.TemporaryDirectory(prefix="hwstatus-benchmarks-") as name:
        home = Path(name).resolve()  # Airflow 3 requires an absolute path
        certificate, bundle = home / "server.pem", home / "bundle.pem"
        public, private = make_certificate()
        certificate.write_bytes(public + private)
        bundle.write_bytes(Path(certifi.where()).read_bytes() + public)
        inherited = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(_EXCLUDED_VARIABLES)
        }
        variables = inherited | {
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(bundle),
            "REQUESTS_CA_BUNDLE": str(bundle),
            "PYTHONWARNINGS": "ignore",
        }
        yield Environment(variables, certificate)


def make_certificate() -> tuple[bytes, bytes]:
    """Return a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hwstatus benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pkcs8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(pem, *pkcs8)
