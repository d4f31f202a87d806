"""The services of AWS, as botocore's models name them: one service has up to four names.

The Rust crate of a service is called by its service id, a signature and an IAM action by its signing name, and
botocore by the folder of its model. `aws-sdk-elasticloadbalancingv2` calls `elasticloadbalancing:…`, and botocore's
name for both is `elbv2`.
"""

import functools
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import botocore

# The metadata of a model stand at its start; a whole model may have megabytes.
HEAD = 4096


@dataclass(frozen=True)
class Service:
    """`name` is botocore's. `signing_name` is also the prefix of its actions in IAM."""

    name: str
    service_id: str
    signing_name: str
    api_version: str

    @property
    def sdk_crate(self) -> str:
        """The crate of the AWS SDK for Rust."""
        return "aws-sdk-" + re.sub(r"[^a-z0-9]", "", self.service_id.lower())


@functools.cache
def services() -> tuple[Service, ...]:
    """Every service that botocore has a model of, in its latest version."""
    models = {
        path.parent.parent: path for path in sorted(Path(botocore.__file__).parent.glob("data/*/*/service-2.json*"))
    }
    return tuple(_service(folder.name, _head(model)) for folder, model in models.items())


def of_crate(name: str) -> Service:
    """The service of a crate such as `aws-sdk-elasticloadbalancingv2`; raises ValueError where there is none."""
    found = [service for service in services() if service.sdk_crate == name]
    if len(found) != 1:
        raise ValueError(f"{name} is the crate of {len(found)} services in botocore {botocore.__version__}")
    return found[0]


def signed_as(signing_name: str) -> list[Service]:
    """The services that sign with a name: more than one where a service has an older and a newer API."""
    return [service for service in services() if service.signing_name == signing_name]


def _head(model: Path) -> str:
    with gzip.open(model) if model.suffix == ".gz" else model.open("rb") as file:
        return file.read(HEAD).decode(errors="ignore")


def _service(name: str, head: str) -> Service:
    def member(key: str) -> str | None:
        found = re.search(rf'"{key}"\s*:\s*"([^"]*)"', head)
        return found and found[1]

    service_id, prefix, version = member("serviceId"), member("endpointPrefix"), member("apiVersion")
    if not (service_id and prefix and version):
        raise ValueError(f"the model of {name} does not start with its metadata")
    return Service(name, service_id, member("signingName") or prefix, version)
