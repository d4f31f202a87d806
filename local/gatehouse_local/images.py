"""The images of EC2: launch permissions, watermarks, deprecation, and their snapshots.

They belong to the account in the ARN that a function is told. moto's images are not known here: a test makes its own
with `create`. What moto lacks or does differently:

- `LaunchPermission.Add` and `.Remove` take accounts, organizations and organizational units, several in a call. An
  image has at most 1,000 permissions.
- `CreateVolumePermission.Add` of a snapshot; it takes accounts only.
- An image whose snapshot is encrypted with an AWS-managed key cannot be shared.
- Each image is a minute younger than the one that was made before it.
- Watermarks: at most 5 for an image, never on a public one. An image that is made from another one has its watermarks,
  with the other one as source (`create` with `parent`).
- Accounts that do not exist (`unknown_accounts`): EC2 refuses the whole call.
- An image that was deregistered (`state` `deregistered`) is InvalidAMIID.Unavailable.
- Deprecation.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.moto_api._internal import mock_random

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.runtime_api import ACCOUNT_ID
from gatehouse_local.wire import AwsError

WATERMARKS = 5
# What Image Builder writes on each image; `Ec2ImageBuilderArn` names the build.
BUILT = {
    "CreatedBy": "EC2 Image Builder",
    "Ec2ImageBuilderArn": f"arn:aws:imagebuilder:us-east-1:{ACCOUNT_ID}:image/golden-al2023/1.0.0/3",
}
TARGETS = {
    "UserId": r"\d{12}",
    "OrganizationArn": r"arn:[\w-]+:organizations::\d{12}:organization/o-[a-z0-9]{10,32}",
    "OrganizationalUnitArn": r"arn:[\w-]+:organizations::\d{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}",
    "Group": "all",
}
Permission = dict[str, str]


@dataclass
class Snapshot:
    """A snapshot of a volume of an image. `key` is the ARN of its key, `aws_managed` whose key that is."""

    id: str
    region: str
    key: str | None = None
    aws_managed: bool = False
    permissions: list[Permission] = field(default_factory=list)


@dataclass
class Image:
    """An image."""

    id: str
    name: str
    region: str
    owner: str
    tags: dict[str, str]
    snapshots: list[Snapshot]
    created: datetime
    state: str = "available"
    deprecated: datetime | None = None
    permissions: list[Permission] = field(default_factory=list)
    watermarks: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # by key: source image, time
    scan: dict[str, Any] | None = None

    @property
    def public(self) -> bool:
        """Whether everybody may launch it."""
        return {"Group": "all"} in self.permissions

    def described(self) -> dict[str, Any]:
        """As DescribeImages has it."""
        found: dict[str, Any] = {
            "ImageId": self.id,
            "Name": self.name,
            "State": self.state,
            "OwnerId": self.owner,
            "Public": self.public,
            "CreationDate": self.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "Architecture": "x86_64",
            "ImageType": "machine",
            "RootDeviceType": "ebs",
            "RootDeviceName": "/dev/xvda",
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
            "BlockDeviceMappings": [
                {"DeviceName": f"/dev/xvd{letter}", "Ebs": _ebs(snapshot)}
                for letter, snapshot in zip("abcdef", self.snapshots, strict=False)
            ],
        }
        if self.deprecated:
            found["DeprecationTime"] = self.deprecated.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        if self.watermarks:
            found["ImageWatermarks"] = [
                {
                    "WatermarkKey": key,
                    "SourceImageRegion": self.region,
                    "SourceImageId": source,
                    "WatermarkCreationTime": when,
                }
                for key, (source, when) in self.watermarks.items()
            ]
        if self.scan:
            found["ScanResults"] = self.scan
        return found


class Images:
    """The images of all Regions. `permissions_per_image` is EC2's quota."""

    permissions_per_image = 1000

    def __init__(self, aws: Front):
        self.images: dict[tuple[str, str], Image] = {}
        self.snapshots: dict[tuple[str, str], Snapshot] = {}
        self.unknown_accounts: set[str] = set()
        aws.handlers |= {
            ("ec2", "DescribeImages"): self._describe,
            ("ec2", "DescribeImageAttribute"): self._describe_attribute,
            ("ec2", "ModifyImageAttribute"): self._modify,
            ("ec2", "AttachImageWatermark"): self._attach_watermark,
            ("ec2", "DetachImageWatermark"): self._detach_watermark,
            ("ec2", "EnableImageDeprecation"): self._deprecate,
            ("ec2", "DescribeSnapshots"): self._describe_snapshots,
            ("ec2", "DescribeSnapshotAttribute"): self._describe_snapshot_attribute,
            ("ec2", "ModifySnapshotAttribute"): self._modify_snapshot,
        }

    def reset(self) -> None:
        """No images, and EC2's quota."""
        self.images.clear()
        self.snapshots.clear()
        self.unknown_accounts.clear()
        self.__dict__.pop("permissions_per_image", None)

    # Arranging ---------------------------------------------------------------------------------

    def create(
        self,
        image_id: str,
        region: str = "us-east-1",
        name: str = "golden-al2023",
        owner: str = ACCOUNT_ID,
        tags: dict[str, str] | None = None,
        key: str | None = None,
        aws_managed: bool = False,
        parent: Image | None = None,
    ) -> Image:
        """An image with one snapshot, which `key` encrypts; as Image Builder makes it unless `tags` say otherwise.

        `parent` is the image that it was built from, of which it inherits the watermarks.
        """
        snapshot = Snapshot(f"snap-{mock_random.get_random_hex(17)}", region, key, aws_managed)
        created = datetime(2026, 1, 17, 6, tzinfo=UTC) + timedelta(minutes=len(self.images))
        image = Image(image_id, name, region, owner, dict(BUILT if tags is None else tags), [snapshot], created)
        image.watermarks = dict(parent.watermarks) if parent else {}
        self.images[region, image_id] = image
        self.snapshots[region, snapshot.id] = snapshot
        return image

    # Images ------------------------------------------------------------------------------------

    def _image(self, call: Invocation) -> Image:
        wanted = call.params["ImageId"]
        image = self.images.get((call.region, wanted))
        if image is None or image.state == "deregistered":
            raise _unknown_image(wanted, image)
        return image

    def _own(self, call: Invocation) -> Image:
        image = self._image(call)
        if image.owner != ACCOUNT_ID:
            raise AwsError("AuthFailure", f"Not authorized for image:{image.id}")
        return image

    def _describe(self, call: Invocation) -> dict[str, Any]:
        here = {image.id: image for (region, _), image in self.images.items() if region == call.region}
        for image_id in call.params.get("ImageIds", []):
            if image_id not in here or here[image_id].state == "deregistered":
                raise _unknown_image(image_id, here.get(image_id))
        wanted = set(call.params.get("ImageIds", here))
        # What a filter does not find is no error.
        for condition in call.params.get("Filters", []):
            if condition["Name"] != "image-id":
                raise AwsError("NotImplemented", f"{condition['Name']} is not a filter of local images", 501)
            wanted &= set(condition["Values"])
        owners = {"self": ACCOUNT_ID}
        owned = {owners.get(owner, owner) for owner in call.params.get("Owners", [])}
        found = [
            image
            for image in here.values()
            if image.id in wanted and image.state != "deregistered" and (not owned or image.owner in owned)
        ]
        return {"Images": [image.described() for image in found]}

    def _describe_attribute(self, call: Invocation) -> dict[str, Any]:
        image = self._own(call)
        if call.params["Attribute"] != "launchPermission":
            raise AwsError("NotImplemented", f"{call.params['Attribute']} is not an attribute of local images", 501)
        return {"ImageId": image.id, "LaunchPermissions": image.permissions}

    def _modify(self, call: Invocation) -> dict[str, Any]:
        image, change = self._own(call), call.params.get("LaunchPermission", {})
        added, removed = change.get("Add", []), change.get("Remove", [])
        for permission in [*added, *removed]:
            _check(permission, TARGETS)
        self._refuse_unknown(added)
        if not added and not removed:
            raise AwsError("InvalidParameterCombination", "LaunchPermission has neither Add nor Remove")
        if added and any(snapshot.aws_managed for snapshot in image.snapshots):
            raise AwsError("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared.")
        kept = [permission for permission in image.permissions if permission not in removed]
        kept += [permission for permission in added if permission not in kept]
        if len(kept) > self.permissions_per_image:
            raise AwsError("AMILaunchPermissionLimitExceeded", f"{image.id} would have {len(kept)} launch permissions")
        image.permissions = kept
        return {}

    def _attach_watermark(self, call: Invocation) -> dict[str, Any]:
        image, key = self._own(call), f"{ACCOUNT_ID}:{call.params['WatermarkName']}"
        if image.public:
            raise AwsError("InvalidParameterValue", f"{image.id} is public and takes no watermark")
        if key not in image.watermarks and len(image.watermarks) >= WATERMARKS:
            raise AwsError("ImageWatermarkLimitExceeded", f"{image.id} has {WATERMARKS} watermarks")
        image.watermarks.setdefault(key, (image.id, datetime.now(UTC)))
        return {"WatermarkKey": key}

    def _detach_watermark(self, call: Invocation) -> dict[str, Any]:
        self._own(call).watermarks.pop(call.params["WatermarkKey"], None)
        return {"Return": True}

    def _refuse_unknown(self, added: list[Permission]) -> None:
        for account in (it["UserId"] for it in added if it.get("UserId") in self.unknown_accounts):
            raise AwsError(
                "InvalidAMIAttributeItemValue", f"Invalid attribute item value {account!r} for userId item type."
            )

    def _deprecate(self, call: Invocation) -> dict[str, Any]:
        self._own(call).deprecated = call.params["DeprecateAt"]
        return {"Return": True}

    # Snapshots ---------------------------------------------------------------------------------

    def _snapshot(self, call: Invocation, wanted: str) -> Snapshot:
        try:
            return self.snapshots[call.region, wanted]
        except KeyError:
            raise AwsError("InvalidSnapshot.NotFound", f"The snapshot '{wanted}' does not exist.") from None

    def _describe_snapshots(self, call: Invocation) -> dict[str, Any]:
        found = [self._snapshot(call, wanted) for wanted in call.params.get("SnapshotIds", [])]
        return {
            "Snapshots": [
                {"SnapshotId": it.id, "OwnerId": ACCOUNT_ID, "Encrypted": it.key is not None, "State": "completed"}
                | ({"KmsKeyId": it.key} if it.key else {})
                for it in found
            ]
        }

    def _describe_snapshot_attribute(self, call: Invocation) -> dict[str, Any]:
        snapshot = self._snapshot(call, call.params["SnapshotId"])
        return {"SnapshotId": snapshot.id, "CreateVolumePermissions": snapshot.permissions}

    def _modify_snapshot(self, call: Invocation) -> dict[str, Any]:
        snapshot = self._snapshot(call, call.params["SnapshotId"])
        change = call.params.get("CreateVolumePermission", {})
        added, removed = change.get("Add", []), change.get("Remove", [])
        for permission in [*added, *removed]:
            _check(permission, {"UserId": TARGETS["UserId"], "Group": "all"})
        self._refuse_unknown(added)
        if added and snapshot.aws_managed:
            raise AwsError("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared.")
        kept = [permission for permission in snapshot.permissions if permission not in removed]
        snapshot.permissions = kept + [permission for permission in added if permission not in kept]
        return {}


def _ebs(snapshot: Snapshot) -> dict[str, Any]:
    ebs = {"SnapshotId": snapshot.id, "VolumeSize": 8, "VolumeType": "gp3", "Encrypted": snapshot.key is not None}
    return ebs | ({"KmsKeyId": snapshot.key} if snapshot.key else {})


def _check(permission: Permission, targets: dict[str, str]) -> None:
    """One target in each permission, in the form of its kind."""
    if len(permission) != 1 or not permission.keys() <= targets.keys():
        raise AwsError("InvalidParameterCombination", f"A permission has one target: {permission}")
    [(kind, value)] = permission.items()
    if not re.fullmatch(targets[kind], value):
        raise AwsError("InvalidAMIAttributeItemValue", f"Invalid attribute item value {value!r} for {kind} item type.")


def _unknown_image(image_id: str, image: Image | None = None) -> AwsError:
    if image is not None:
        return AwsError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")
    if not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", image_id):
        return AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}"')
    return AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
