"""The web pages that a function downloads, served on loopback under their real names.

A function that verifies SNS messages downloads a certificate from `https://sns.<region>.amazonaws.com`, and the
updater a document from `https://ip-ranges.amazonaws.com`. `Web` is an HTTP proxy that answers for these hosts: the
function finds it through `HTTPS_PROXY`, and trusts its certificates through `SSL_CERT_FILE`. They are issued by a
certificate authority that exists only while `Web` runs. So the real code downloads the real URL.
"""

import datetime
import http.server
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass
class Page:
    """The answer to a URL."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class Web:
    """Pages by URL. Use as a context manager.

    `requests` lists every requested URL in order, also those that are not served, so a test can check that nothing
    was downloaded.
    `after` is called with each requested URL and the status of its answer.
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.after: Callable[[str, int], None] = lambda *_: None
        self.requests: list[str] = []
        self._pages: dict[str, list[Page]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="gatehouse-web-")
        self._authority = _Authority(Path(self._folder.name))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._server = http.server.ThreadingHTTPServer((address, port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="web", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The server's own address, for pages that are downloaded without TLS and without the proxy."""
        address, port = self._server.server_address[:2]
        return f"http://{address}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which a function finds these pages."""
        return {"HTTPS_PROXY": self.url, "SSL_CERT_FILE": str(self.authority_file)}

    @property
    def authority_file(self) -> Path:
        """The certificate, in PEM, that a client must trust to read these pages."""
        return self._authority.certificate_file

    def serve(self, url: str, *pages: Page | bytes) -> None:
        """Answers `url` with each of `pages` in turn, and then always with the last one."""
        self._pages[url] = [page if isinstance(page, Page) else Page(page) for page in pages]
        host = urlsplit(url).hostname or ""
        if url.startswith("https:") and host not in self._contexts:
            self._contexts[host] = self._authority.context_for(host)

    def _page(self, url: str) -> Page:
        self.requests.append(url)
        pages = self._pages.get(url)
        if not pages:
            return Page(f"nothing is served at {url}\n".encode(), 404, "text/plain")
        return pages.pop(0) if len(pages) > 1 else pages[0]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            # The tickets that end a TLS handshake are not acknowledged yet when the answer follows: Nagle's algorithm
            # would hold it back until the client's delayed ACK, 40 ms later. The servers of AWS do not do so.
            disable_nagle_algorithm = True
            origin = ""  # of the tunnel; empty if the client did not open one

            def do_CONNECT(self) -> None:
                host, _, port = self.path.rpartition(":")
                context = web._contexts.get(host)
                if context is None or port != "443":
                    web.requests.append(f"https://{self.path}/")
                    self.send_error(502, "no such host here")
                    return
                self.send_response_only(200, "Connection established")
                self.end_headers()
                self.wfile.flush()
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb", self.rbufsize)
                self.wfile = self.connection.makefile("wb", self.wbufsize)
                self.origin = f"https://{host}"
                self.close_connection = False

            def do_GET(self) -> None:
                url = (self.origin or web.url) + self.path
                page = web._page(url)
                web.after(url, page.status)
                self.send_response_only(page.status)
                self.send_header("Content-Type", page.content_type)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)
                self.wfile.flush()

            def finish(self) -> None:
                """Also closes the socket of the tunnel; the server itself closes only the socket it accepted."""
                super().finish()
                self.connection.close()

            def log_message(self, *_: object) -> None:
                """Logs nothing: `requests` has every URL."""

        return Handler


class _Authority:
    """A certificate authority for one run. Its key is never written to disk."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gatehouse local authority")])
        certificate = (
            self._unsigned(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file = folder / "authority.pem"
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context_for(self, host: str) -> ssl.SSLContext:
        """The TLS context of a server that is `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = (
            self._unsigned(name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = self._folder / f"{host}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _unsigned(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=7))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def _usage(**allowed: bool) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in every})
