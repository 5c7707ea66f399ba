"""Where measured programs run: a throw-away home of Airflow's, and a certificate that they trust."""

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

#: Settings of whoever runs this that must not reach a measured program.
_FOREIGN = ("AIRFLOW_", "_AIRFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_DIR", "PYTHON")


@dataclass(frozen=True)
class Surroundings:
    """
    What a measured program is given.

    :param certificate: Path of the server's certificate and key.
    """

    environment: dict[str, str]
    certificate: Path


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """
    Make them, and remove them.

    What is trusted is certifi's bundle and one more: so loading it takes as long as it does in production.
    """
    with tempfile.TemporaryDirectory(prefix="hwstatus-benchmarks-") as name:
        home = Path(name).resolve()  # Airflow 3 refuses a relative path
        certificate, bundle = home / "server.pem", home / "bundle.pem"
        public, private = make_certificate()
        certificate.write_bytes(public + private)
        bundle.write_bytes(Path(certifi.where()).read_bytes() + public)
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
        environment = own | {
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(bundle),
            "REQUESTS_CA_BUNDLE": str(bundle),
            "PYTHONWARNINGS": "ignore",
        }
        yield Surroundings(environment, certificate)


def make_certificate() -> tuple[bytes, bytes]:
    """Return a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hwstatus benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
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
    return made.public_bytes(pem), key.private_bytes(pem, *pkcs8)
