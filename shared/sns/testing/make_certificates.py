"""Makes the certificates of `names/`. They certify the test key and differ in the names they were issued to.

python3 -m venv venv && venv/bin/pip install cryptography && venv/bin/python make_certificates.py

The output is the same each time: dates and serial numbers are constants, and RSA signatures of this kind have no
random part.
"""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type as Asn1
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
KEY = serialization.load_pem_private_key((HERE / "test-signing-key.pem").read_bytes(), password=None)
SNS = "sns.amazonaws.com"


def certificate(common_name: x509.NameAttribute | None, *alternative_names: x509.GeneralName) -> bytes:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gatehouse TEST ONLY")
    name = x509.Name([organization, *([common_name] if common_name else [])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2120, 1, 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def cn(text: str, string_type: Asn1 = Asn1.UTF8String) -> x509.NameAttribute:
    return x509.NameAttribute(NameOID.COMMON_NAME, text, _type=string_type)


CERTIFICATES = {
    "cn-printable-string": certificate(cn(SNS, Asn1.PrintableString)),
    "cn-teletex-string": certificate(cn(SNS, Asn1.T61String)),
    "cn-bmp-string": certificate(cn(SNS, Asn1.BMPString)),
    "cn-universal-string": certificate(cn(SNS, Asn1.UniversalString)),
    "dns-name-of-sns": certificate(cn("Something else"), x509.DNSName("example.com"), x509.DNSName(SNS)),
    "dns-name-alone": certificate(None, x509.DNSName(SNS)),
    "no-dns-name": certificate(cn(SNS), x509.RFC822Name("sns@example.com"), x509.UniformResourceIdentifier("urn:x")),
    "other-dns-name": certificate(cn(SNS), x509.DNSName("example.com"), x509.DNSName("*.amazonaws.com")),
    "no-name": certificate(None),
}

for name, pem in CERTIFICATES.items():
    (HERE / "names" / f"{name}.pem").write_bytes(pem)
