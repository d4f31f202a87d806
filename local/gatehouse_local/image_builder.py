"""EC2 Image Builder: what it publishes to the SNS topic of an infrastructure configuration, what it tells EventBridge,
and what it answers about a build."""

from typing import Any

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.runtime_api import ACCOUNT_ID
from gatehouse_local.wire import AwsError


class ImageBuilder:
    """Builds that ended, by their ARNs: `builds` has the notice of each."""

    def __init__(self, aws: Front):
        self.builds: dict[str, dict[str, Any]] = {}
        aws.handlers["imagebuilder", "GetImage"] = self._get

    def reset(self) -> None:
        """No builds."""
        self.builds.clear()

    def event(self, ended: dict[str, Any]) -> dict[str, Any]:
        """What EventBridge hands on when a build ended, whose notice is `ended`. GetImage answers for it from then on.

        Source: Image Builder User Guide, "EventBridge integration in Image Builder".
        """
        self.builds[ended["arn"]] = ended
        return {
            "version": "0",
            "id": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
            "detail-type": "EC2 Image Builder Image State Change",
            "source": "aws.imagebuilder",
            "account": ACCOUNT_ID,
            "time": "2026-01-17T06:30:00Z",
            "region": ended["arn"].split(":")[3],
            "resources": [ended["arn"]],
            "detail": {"previous-state": {"status": "TESTING"}, "state": {"status": ended["state"]["status"]}},
        }

    def _get(self, call: Invocation) -> dict[str, Any]:
        arn = call.params["imageBuildVersionArn"]
        if arn not in self.builds:
            raise AwsError("ResourceNotFoundException", f"The resource {arn} does not exist.")
        ended = self.builds[arn]
        same = ("arn", "name", "state", "platform", "osVersion", "sourcePipelineArn", "outputResources")
        recipe = {key: ended["imageRecipe"][key] for key in ("arn", "name", "version", "platform", "parentImage")}
        image = {key: ended[key] for key in same if key in ended}
        # The notice writes the date in another form.
        return {"image": image | {"imageRecipe": recipe, "dateCreated": "2026-01-17T06:00:00.000Z"}}


def notice(
    images: dict[str, str], name: str = "golden-al2023", build: int = 3, region: str = "us-east-1", **changes: Any
) -> dict[str, Any]:
    """What Image Builder publishes when a build ended; `images` maps a Region to an AMI id of this account.

    Source: Image Builder User Guide, "Amazon SNS integration", message format.
    """
    arn = f"arn:aws:imagebuilder:{region}:{ACCOUNT_ID}"
    return {
        "versionlessArn": f"{arn}:image/{name}",
        "semver": 1237940039285380274899124224 + build,
        "arn": f"{arn}:image/{name}/1.0.0/{build}",
        "name": name,
        "version": "1.0.0",
        "type": "AMI",
        "buildVersion": build,
        "state": {"status": "AVAILABLE"},
        "platform": "Linux",
        "osVersion": "Amazon Linux 2023",
        "imageRecipe": {
            "arn": f"{arn}:image-recipe/{name}/1.0.0",
            "name": name,
            "version": "1.0.0",
            "platform": "Linux",
            "parentImage": f"arn:aws:imagebuilder:{region}:aws:image/amazon-linux-2023-x86/x.x.x",
        },
        "sourcePipelineArn": f"{arn}:image-pipeline/{name}",
        "infrastructureConfiguration": {
            "arn": f"{arn}:infrastructure-configuration/{name}",
            "name": name,
            "instanceProfileName": "gatehouse-example",
        },
        "dateCreated": "Jan 17, 2026 6:00:00 AM",
        "outputResources": {
            "amis": [
                {"region": at, "image": image, "name": f"{name} 2026-01-17T06-20-11.042Z", "accountId": ACCOUNT_ID}
                for at, image in images.items()
            ]
        },
        "buildExecutionId": "ab0cd12e-34fa-5678-b901-2c3456d789e0",
        "testExecutionId": "6a7b8901-cdef-234a-56b7-8cd89ef01234",
        "accountId": ACCOUNT_ID,
        "buildType": "SCHEDULED",
        **changes,
    }


def failed_notice(build: int = 4, region: str = "us-east-1") -> dict[str, Any]:
    """What Image Builder publishes when a build failed."""
    state = {"status": "FAILED", "reason": "Workflow Execution ID 'wf-1' failed: SSM execution 'ab0c' failed."}
    return notice({}, build=build, region=region, state=state)
