"""The local Systems Manager Automation and the local images themselves: what they admit and what they refuse."""

import json
import uuid
from datetime import UTC, datetime

import botocore.exceptions
import pytest

from gatehouse_local import image_builder
from gatehouse_local.runtime_api import ACCOUNT_ID
from gatehouse_local.ssm_automation import SsmAutomation

ROLE = "arn:aws:iam::123456789012:role/{}"
NOBODY = "00000000-0000-4000-8000-000000000000"
NOT_FOUND = "AutomationExecutionNotFoundException"
AMI, OTHER = "ami-0123456789abcdef0", "ami-0fedcba9876543210"
ORGANIZATIONS = [f"arn:aws:organizations::123456789012:organization/o-abcdefghi{n}" for n in range(3)]
OU = "arn:aws:organizations::123456789012:ou/o-abcdefghi0/ou-ab12-cdefghij"


def refused(call, *args, **kwargs):
    """The code and the message with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*args, **kwargs)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# Automation ---------------------------------------------------------------------------------------


class Automation:
    """A runbook with two approvers, a client for each of them, and one for a stranger."""

    def __init__(self, aws, needed):
        self.aws, self.ssm, self.invoked = aws, aws.client("ssm"), []
        self.answer = ({"images": []}, False)
        # Each has an access key of its own, by which the local AWS knows who calls.
        self.people = {name: aws.client("ssm", key=name) for name in ("page", "person", "stranger")}
        for name in self.people:
            aws.ssm_automation.assume(name, ROLE.format(name))
        aws.ssm_automation.create(
            "approve",
            {
                "parameters": {
                    "images": {"type": "StringList"},
                    "imageName": {"type": "String"},
                    "summary": {"type": "String", "default": "none"},
                },
                "mainSteps": [
                    {
                        "name": "Approve",
                        "action": "aws:approve",
                        "timeoutSeconds": "3600",
                        "inputs": {
                            "Message": "{{ imageName }}: {{ summary }}",
                            "MinRequiredApprovals": str(needed),
                            "Approvers": [ROLE.format("page"), ROLE.format("person")],
                        },
                    },
                    {
                        "name": "Share",
                        "action": "aws:invokeLambdaFunction",
                        "inputs": {
                            "FunctionName": "share",
                            "InputPayload": {"images": "{{ images }}", "id": "{{ automation:EXECUTION_ID }}"},
                        },
                    },
                ],
            },
        )
        aws.ssm_automation.lambda_function("share", self.share)

    def share(self, payload):
        self.invoked.append(payload)
        return self.answer

    def start(self, **changes):
        parameters = {"images": [f"us-east-1:{AMI}", f"eu-west-1:{OTHER}"], "imageName": ["golden"]}
        call = {"DocumentName": "approve", "Parameters": parameters} | changes
        return self.ssm.start_automation_execution(**call)["AutomationExecutionId"]

    def signal(self, who, execution, signal="Approve", comment="fine"):
        self.people[who].send_automation_signal(
            AutomationExecutionId=execution, SignalType=signal, Payload={"Comment": [comment]}
        )

    def statuses(self, execution):
        """Of the execution and of its steps."""
        found = self.ssm.get_automation_execution(AutomationExecutionId=execution)["AutomationExecution"]
        return [found["AutomationExecutionStatus"], *(step["StepStatus"] for step in found["StepExecutions"])]

    def ended(self):
        """The statuses that EventBridge was told of."""
        return [event["detail"]["Status"] for event in self.aws.ssm_automation.events]


@pytest.fixture
def automation(aws):
    return Automation(aws, needed=1)


def test_an_approval_invokes_the_function_with_the_parameters(aws, automation):
    execution = automation.start()
    assert automation.statuses(execution) == ["Waiting", "Waiting", "Pending"]
    assert automation.invoked == []
    automation.signal("person", execution)
    aws.ssm_automation.wait()
    assert automation.statuses(execution) == ["Success", "Success", "Success"]
    assert automation.invoked == [{"images": [f"us-east-1:{AMI}", f"eu-west-1:{OTHER}"], "id": execution}]
    assert automation.ended() == ["Success"]
    assert refused(automation.signal, "page", execution)[0] == "InvalidAutomationSignalException"


def test_a_second_start_with_the_same_token_starts_nothing(automation):
    token = str(uuid.uuid4())
    first = automation.start(ClientToken=token)
    assert automation.start(ClientToken=token.upper()) == first
    other = {"images": [f"us-east-1:{AMI}"], "imageName": ["golden"]}
    code, _ = refused(automation.start, ClientToken=token, Parameters=other)
    assert code == "IdempotentParameterMismatch"
    assert automation.start() != first


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DocumentName": "unknown"}, "AutomationDefinitionNotFoundException"),
        ({"Parameters": {"images": ["x"]}}, "InvalidAutomationExecutionParametersException"),
        ({"Parameters": {"images": ["x"] * 51, "imageName": ["a"]}}, "ValidationException"),
        ({"Parameters": {"images": ["x" * 513], "imageName": ["a"]}}, "ValidationException"),
        ({"Parameters": {"images": ["x"], "imageName": ["a", "b"]}}, "InvalidAutomationExecutionParametersException"),
        (
            {"Parameters": {"images": ["x"], "imageName": ["a"], "colour": ["red"]}},
            "InvalidAutomationExecutionParametersException",
        ),
        ({"Tags": [{"Key": f"tag{n}", "Value": "x"} for n in range(6)]}, "ValidationException"),
    ],
)
def test_refused_starts(automation, changes, code):
    assert refused(automation.start, **changes)[0] == code


def test_a_client_token_has_the_form_of_a_uuid(automation):
    assert refused(automation.start, ClientToken="x" * 36)[0] == "ValidationException"


def test_fifty_values_of_512_characters_are_taken(automation):
    automation.start(Parameters={"images": ["x" * 512] * 50, "imageName": ["golden"]})


def test_who_is_no_approver_is_refused(automation):
    execution = automation.start()
    code, message = refused(automation.signal, "stranger", execution)
    assert (code, "role/stranger is not an approver" in message) == ("AccessDeniedException", True)
    assert automation.statuses(execution) == ["Waiting", "Waiting", "Pending"]


def test_each_approver_has_one_vote(aws):
    automation = Automation(aws, needed=2)
    execution = automation.start()
    automation.signal("page", execution)
    assert automation.statuses(execution)[0] == "Waiting"
    assert refused(automation.signal, "page", execution)[0] == "InvalidAutomationSignalException"
    found = automation.ssm.get_automation_execution(AutomationExecutionId=execution)["AutomationExecution"]
    [decision] = map(json.loads, found["StepExecutions"][0]["Outputs"]["ApproverDecisions"])
    assert decision == {
        "approver": "arn:aws:sts::123456789012:assumed-role/page/gatehouse-local",
        "decision": "Approved",
        "comment": "fine",
    }
    automation.signal("person", execution)
    aws.ssm_automation.wait()
    assert automation.statuses(execution)[0] == "Success"


def test_one_rejection_ends_it(aws):
    automation = Automation(aws, needed=2)
    execution = automation.start()
    automation.signal("page", execution)
    automation.signal("person", execution, "Reject")
    assert automation.statuses(execution) == ["Rejected", "Rejected", "Cancelled"]
    assert (automation.invoked, automation.ended()) == ([], ["Rejected"])


def test_an_approval_times_out(aws, automation):
    execution = automation.start()
    aws.ssm_automation.pass_time(3599)
    assert automation.statuses(execution)[0] == "Waiting"
    aws.ssm_automation.pass_time(2)
    assert automation.statuses(execution) == ["TimedOut", "TimedOut", "Cancelled"]
    assert refused(automation.signal, "person", execution)[0] == "InvalidAutomationSignalException"
    assert (automation.invoked, automation.ended()) == ([], ["TimedOut"])


def test_what_waits_can_be_cancelled_and_what_ended_cannot(automation):
    execution = automation.start()
    automation.ssm.stop_automation_execution(AutomationExecutionId=execution, Type="Cancel")
    assert automation.statuses(execution) == ["Cancelled"] * 3
    assert (automation.invoked, automation.ended()) == ([], ["Cancelled"])
    for stopped, code in ((execution, "InvalidAutomationStatusUpdateException"), (NOBODY, NOT_FOUND)):
        assert refused(automation.ssm.stop_automation_execution, AutomationExecutionId=stopped)[0] == code


def test_a_function_that_fails_fails_the_execution(aws, automation):
    automation.answer = ({"errorType": "NotShared"}, True)
    execution = automation.start()
    automation.signal("person", execution)
    aws.ssm_automation.wait()
    assert automation.statuses(execution) == ["Failed", "Success", "Failed"]
    assert automation.ended() == ["Failed"]


def test_signals_of_other_kinds_and_to_nowhere(automation):
    execution = automation.start()
    assert refused(automation.signal, "person", execution, "Resume")[0] == "InvalidAutomationSignalException"
    assert refused(automation.signal, "person", NOBODY)[0] == "AutomationExecutionNotFoundException"
    assert refused(automation.signal, "person", execution, "Agree")[0] == "ValidationException"


def test_more_approvals_than_approvers_are_refused(aws):
    with pytest.raises(ValueError, match="3 approvals of 2 approvers"):
        Automation(aws, needed=3)


def test_the_event_has_the_form_of_a_real_one(aws, automation, real):
    sample = json.loads((real / "lambda-events/eventbridge-ssm-automation-execution.json").read_text())
    execution = automation.start()
    automation.signal("person", execution, "Reject")
    [event] = aws.ssm_automation.events
    assert event.keys() == sample.keys()
    assert event["detail"].keys() == sample["detail"].keys()
    assert event["detail-type"] == sample["detail-type"]


def test_reset_forgets_everything(aws, automation):
    automation.start()
    aws.reset()
    assert not aws.ssm_automation.executions
    assert isinstance(aws.ssm_automation, SsmAutomation)
    assert refused(automation.start)[0] == "AutomationDefinitionNotFoundException"


# Images -------------------------------------------------------------------------------------------


def share(ec2, image, *permissions, remove=False):
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Remove" if remove else "Add": list(permissions)})


def permissions(ec2, image):
    return ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]


@pytest.fixture
def ec2(aws):
    aws.images.create(AMI)
    return aws.client("ec2")


def test_several_targets_of_each_kind_are_added_and_removed(ec2):
    added = [{"UserId": "111122223333"}, *({"OrganizationArn": arn} for arn in ORGANIZATIONS)]
    added.append({"OrganizationalUnitArn": OU})
    share(ec2, AMI, *added)
    assert permissions(ec2, AMI) == added
    share(ec2, AMI, added[0], {"UserId": "444455556666"})
    assert len(permissions(ec2, AMI)) == 6
    share(ec2, AMI, *added, remove=True)
    assert permissions(ec2, AMI) == [{"UserId": "444455556666"}]


def test_what_is_no_target_is_refused_and_nothing_is_added(ec2):
    for wrong in ({"UserId": "1111"}, {"OrganizationArn": OU}, {"OrganizationalUnitArn": ORGANIZATIONS[0]}):
        assert refused(share, ec2, AMI, {"UserId": "111122223333"}, wrong)[0] == "InvalidAMIAttributeItemValue"
    assert refused(share, ec2, AMI, {"UserId": "111122223333", "OrganizationArn": OU})[0] == (
        "InvalidParameterCombination"
    )
    assert permissions(ec2, AMI) == []


def test_images_that_cannot_be_shared(aws, ec2):
    target = {"UserId": "111122223333"}
    aws.images.create(OTHER, owner="444455556666")
    assert refused(share, ec2, OTHER, target)[0] == "AuthFailure"
    assert refused(share, ec2, "ami-00000000000000000", target)[0] == "InvalidAMIID.NotFound"
    assert refused(share, ec2, "nonsense", target)[0] == "InvalidAMIID.Malformed"
    encrypted = "ami-0aaaaaaaaaaaaaaaa"
    aws.images.create(encrypted, key="arn:aws:kms:us-east-1:123456789012:key/aws", aws_managed=True)
    assert refused(share, ec2, encrypted, target)[0] == "InvalidParameter"
    aws.images.permissions_per_image = 1
    share(ec2, AMI, target)
    assert refused(share, ec2, AMI, {"UserId": "444455556666"})[0] == "AMILaunchPermissionLimitExceeded"


def test_an_image_is_found_in_its_region_alone(aws, ec2):
    tags = {tag["Key"]: tag["Value"] for tag in ec2.describe_images(ImageIds=[AMI])["Images"][0]["Tags"]}
    assert tags["CreatedBy"] == "EC2 Image Builder"
    assert tags["Ec2ImageBuilderArn"].endswith(":image/golden-al2023/1.0.0/3")
    code, _ = refused(aws.client("ec2", "eu-west-1").describe_images, ImageIds=[AMI])
    assert code == "InvalidAMIID.NotFound"


def test_watermarks(ec2):
    for number in range(5):
        ec2.attach_image_watermark(ImageId=AMI, WatermarkName=f"approved-{number}")
    assert ec2.attach_image_watermark(ImageId=AMI, WatermarkName="approved-0")["WatermarkKey"] == (
        f"{ACCOUNT_ID}:approved-0"
    )
    code, _ = refused(ec2.attach_image_watermark, ImageId=AMI, WatermarkName="approved-5")
    assert code == "ImageWatermarkLimitExceeded"
    [image] = ec2.describe_images(ImageIds=[AMI])["Images"]
    assert len(image["ImageWatermarks"]) == 5


def test_a_watermark_is_inherited_with_its_source_and_can_be_detached(aws, ec2):
    key = ec2.attach_image_watermark(ImageId=AMI, WatermarkName="approved")["WatermarkKey"]
    aws.images.create("ami-0aaaaaaaaaaaaaaaa", parent=aws.images.images["us-east-1", AMI])

    def marks(image):
        return ec2.describe_images(ImageIds=[image])["Images"][0].get("ImageWatermarks", [])

    [mark] = marks("ami-0aaaaaaaaaaaaaaaa")
    assert (mark["WatermarkKey"], mark["SourceImageId"]) == (key, AMI)
    for _ in range(2):
        ec2.detach_image_watermark(ImageId="ami-0aaaaaaaaaaaaaaaa", WatermarkKey=key)
    assert (marks("ami-0aaaaaaaaaaaaaaaa"), len(marks(AMI))) == ([], 1)


def test_an_account_that_does_not_exist_refuses_the_whole_call(aws, ec2):
    aws.images.unknown_accounts = {"999999999999"}
    added = {"Add": [{"UserId": "111122223333"}, {"UserId": "999999999999"}]}
    code, _ = refused(ec2.modify_image_attribute, ImageId=AMI, LaunchPermission=added)
    assert code == "InvalidAMIAttributeItemValue"
    assert aws.images.images["us-east-1", AMI].permissions == []


def test_a_filter_finds_what_is_there_and_refuses_nothing(aws, ec2):
    aws.images.create(OTHER, owner="444455556666")
    found = ec2.describe_images(Filters=[{"Name": "image-id", "Values": [AMI, OTHER, "ami-0123"]}])["Images"]
    assert {it["ImageId"] for it in found} == {AMI, OTHER}
    assert len({it["CreationDate"] for it in found}) == 2, "one is younger"
    own = ec2.describe_images(Owners=["self"], Filters=[{"Name": "image-id", "Values": [AMI, OTHER]}])["Images"]
    assert [it["ImageId"] for it in own] == [AMI]
    aws.images.images["us-east-1", AMI].state = "deregistered"
    assert ec2.describe_images(Filters=[{"Name": "image-id", "Values": [AMI]}])["Images"] == []


def test_an_image_that_was_deregistered_is_unavailable(aws, ec2):
    aws.images.images["us-east-1", AMI].state = "deregistered"
    assert refused(ec2.describe_images, ImageIds=[AMI])[0] == "InvalidAMIID.Unavailable"


# Keys of MACs -------------------------------------------------------------------------------------


def test_a_mac_is_checked_with_its_key_alone_and_while_that_is_enabled(aws):
    kms, key, other = aws.client("kms"), aws.kms_macs.create("us-east-1"), aws.kms_macs.create("us-east-1")
    given = {"KeyId": key.arn, "MacAlgorithm": "HMAC_SHA_256", "Message": b"text"}
    mac = kms.generate_mac(**given)["Mac"]
    assert mac == key.mac(b"text") != other.mac(b"text")
    assert kms.verify_mac(**given, Mac=mac)["MacValid"] is True
    for wrong in ({"Message": b"tex"}, {"KeyId": other.arn}):
        assert refused(kms.verify_mac, **given | wrong, Mac=mac)[0] == "KMSInvalidMacException"
    assert refused(kms.verify_mac, **given | {"KeyId": key.arn + "0"}, Mac=mac)[0] == "NotFoundException"
    for change, code in (
        (kms.disable_key, "DisabledException"),
        (kms.schedule_key_deletion, "KMSInvalidStateException"),
        (kms.cancel_key_deletion, "DisabledException"),
    ):
        change(KeyId=key.arn)
        assert refused(kms.verify_mac, **given, Mac=mac)[0] == code
        assert refused(kms.generate_mac, **given)[0] == code
    kms.enable_key(KeyId=key.arn.rpartition("/")[2])
    assert kms.verify_mac(**given, Mac=mac)["MacValid"] is True


def test_a_key_changes_its_state_only_as_kms_admits_it(aws):
    kms, key = aws.client("kms"), {"KeyId": aws.kms_macs.create("us-east-1").arn}
    assert refused(kms.cancel_key_deletion, **key)[0] == "KMSInvalidStateException"
    for days in (6, 31):
        assert refused(kms.schedule_key_deletion, **key, PendingWindowInDays=days)[0] == "ValidationException"
    assert kms.schedule_key_deletion(**key, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    for change in (kms.enable_key, kms.disable_key, kms.schedule_key_deletion):
        assert refused(change, **key)[0] == "KMSInvalidStateException"
    assert refused(aws.client("kms", "eu-west-1").disable_key, **key)[0] == "NotFoundException"


# Image Builder ------------------------------------------------------------------------------------


def test_image_builder_answers_for_a_build_that_ended_and_its_event_has_the_documented_form(aws, real):
    ended = image_builder.notice({"us-east-1": AMI})
    event = aws.image_builder.event(ended)
    documented = json.loads((real / "lambda-events/eventbridge-imagebuilder-image-state-change.json").read_text())
    assert event.keys() == documented.keys() and event["detail"].keys() == documented["detail"].keys()
    image = aws.client("imagebuilder").get_image(imageBuildVersionArn=ended["arn"])["image"]
    assert (image["name"], image["outputResources"]) == (ended["name"], ended["outputResources"])
    code, _ = refused(aws.client("imagebuilder").get_image, imageBuildVersionArn=ended["arn"].replace("/3", "/4"))
    assert code == "ResourceNotFoundException"


def test_a_public_image_takes_no_watermark(ec2):
    share(ec2, AMI, {"Group": "all"})
    assert refused(ec2.attach_image_watermark, ImageId=AMI, WatermarkName="approved")[0] == "InvalidParameterValue"


def test_deprecation(ec2):
    ec2.enable_image_deprecation(ImageId=AMI, DeprecateAt=datetime(2027, 1, 2, 3, 4, tzinfo=UTC))
    assert ec2.describe_images(ImageIds=[AMI])["Images"][0]["DeprecationTime"] == "2027-01-02T03:04:00.000Z"


def test_snapshots_take_accounts_alone(aws, ec2):
    [snapshot] = aws.images.images["us-east-1", AMI].snapshots
    for _ in range(2):
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot.id,
            Attribute="createVolumePermission",
            CreateVolumePermission={"Add": [{"UserId": "111122223333"}, {"UserId": "444455556666"}]},
        )
    found = ec2.describe_snapshot_attribute(SnapshotId=snapshot.id, Attribute="createVolumePermission")
    assert found["CreateVolumePermissions"] == [{"UserId": "111122223333"}, {"UserId": "444455556666"}]
