"""Which resource types a Region lacks, by the schemas that cfn-lint has of CloudFormation's own registry.

`python -m template_checks.regions` says which template would ask a Region for a type that does not exist there.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from cfnlint.helpers import REGIONS
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from .expansion import Expansion
from .forms import TEMPLATES, expansion

# What each capability is about. Where that does not exist, nobody misses the template.
SERVES = {
    "amis": "AWS::ImageBuilder::ImagePipeline",
    "iam-alerts": "AWS::Events::Rule",
    "ip-ranges": "AWS::EC2::SecurityGroup",
    "messages": "AWS::SNS::Topic",
    "pipelines": "AWS::CodePipeline::Pipeline",
}


def gaps(template: str, it: Expansion) -> Iterator[tuple[str, str, str]]:
    """Logical id, type and Region of each resource that a Region lacks and that the template would make there."""
    for region, name, resource in missing(template, it):
        if any(not it.refusals(given) for given in _with(it, resource, region)):
            yield name, resource["Type"], region


def left_out(template: str, it: Expansion) -> set[str]:
    """The types that some Region lacks and that a template leaves out there by a condition.

    AWS does not document whether CloudFormation then still says "Unrecognized resource types", so the README says it.
    """
    return {
        resource["Type"]
        for region, _, resource in missing(template, it)
        if "Condition" in resource and not it.refusals({"AWS::Region": region, **it.needed()})
    }


def missing(template: str, it: Expansion) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Region, logical id and resource wherever a Region with the capability's own service lacks the type."""
    serves = SERVES[template.split("/")[1]] if "/" in template else "AWS::CloudFormation::Stack"
    for region in REGIONS:
        known = set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))
        if serves in known:
            for name, resource in it.resources.items():
                if resource["Type"] not in known:
                    yield region, name, resource


def _with(it: Expansion, resource: dict[str, Any], region: str) -> Iterator[dict[str, str]]:
    """Parameters with which the resource is made in the Region."""
    names = it.asked_by(resource["Condition"]) if "Condition" in resource else []
    names = [name for name in names if name in it.parameters]
    for values in itertools.product(*(it.forms(name) for name in names)):
        given = it.needed() | dict(zip(names, values, strict=True)) | {"AWS::Region": region}
        if "Condition" not in resource or it.holds(resource["Condition"], given):
            yield given


def main() -> int:
    """Says what is wrong, and how many templates were looked at."""
    found = 0
    for template in TEMPLATES:
        regions: dict[tuple[str, str], list[str]] = {}
        for name, kind, region in gaps(template, expansion(template)):
            regions.setdefault((name, kind), []).append(region)
        for (name, kind), lacking in regions.items():
            found += 1
            print(
                f"{template}: {name} is an {kind}, which does not exist in {', '.join(lacking)}: refuse these Regions "
                "with a rule, as RelayNeedsFunctionUrls of messages does, or leave it out there",
                file=sys.stderr,
            )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
