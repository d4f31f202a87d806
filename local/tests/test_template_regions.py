"""What an account and a Region must have before a template deploys there."""

import copy
import re

import pytest

from gatehouse_local import ROOT
from template_checks import regions
from template_checks.expansion import Expansion
from template_checks.forms import FORMS, TEMPLATES, expansion
from template_checks.template import load

MESSAGES = "functions/messages/template.yaml"
APP = "functions/pipelines/example-app/app.yaml"


def readme_of(template: str) -> str:
    folder = ROOT / "/".join(template.split("/")[:2]) if "/" in template else ROOT
    return re.sub(r"\s+", " ", (folder / "README.md").read_text())


# Regions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_makes_nothing_that_its_region_does_not_know(template):
    assert list(regions.gaps(template, expansion(template))) == []


@pytest.mark.parametrize(
    ("template", "rule", "count"),
    [(MESSAGES, "RelayNeedsFunctionUrls", 14), (APP, "FunctionUrlsExist", 14)],
)
def test_without_its_rule_every_region_that_lacks_a_type_is_found(template, rule, count):
    document = copy.deepcopy(load(template))
    del document["Rules"][rule]
    found = list(regions.gaps(template, Expansion(document, FORMS)))
    assert {kind for _, kind, _ in found} == {"AWS::Lambda::Url"}
    assert len(found) == count and "eu-central-2" in {region for *_, region in found}
    # One Region too few in the rule is found, too.
    document = copy.deepcopy(load(template))
    [assertion] = document["Rules"][rule]["Assertions"]
    [contains] = assertion["Assert"]["Fn::Not"]
    contains["Fn::Contains"][0].remove("eu-central-2")
    assert [region for *_, region in regions.gaps(template, Expansion(document, FORMS))] == ["eu-central-2"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_readme_says_where_a_type_is_left_out_that_the_region_does_not_know(template):
    for kind in regions.left_out(template, expansion(template)):
        said = readme_of(template)
        assert f"`{kind}`" in said and "Unrecognized resource types" in said, kind


# Service-linked roles ----------------------------------------------------------------------------

# Every type that we use, and who makes the service-linked role that it may need at its first use in an account.
# None: it needs none. MADE: the service makes it with the first resource, for a caller who may do so
# (iam:CreateServiceLinkedRole). A service: the role may come too late, so the README has the command.
MADE = "the service makes it in time"
SERVICE_LINKED_ROLES = {
    "AWS::ApiGatewayV2::Api": None,
    "AWS::ApiGatewayV2::Stage": None,
    "AWS::CloudFormation::Stack": None,
    "AWS::CloudWatch::Dashboard": None,
    "AWS::CloudTrail::Trail": None,  # an organization's trail has one
    "AWS::CloudWatch::Alarm": None,  # only for actions on EC2 instances and incidents
    "AWS::CodeBuild::Project": None,
    "AWS::CodePipeline::Pipeline": None,
    # aws/aws-cdk#34406: the rule is refused while CodeStar Notifications is still making its role.
    "AWS::CodeStarNotifications::NotificationRule": "codestar-notifications.amazonaws.com",
    "AWS::EC2::InternetGateway": None,
    "AWS::EC2::PrefixList": None,
    "AWS::EC2::Route": None,
    "AWS::EC2::RouteTable": None,
    "AWS::EC2::SecurityGroup": None,
    "AWS::EC2::Subnet": None,
    "AWS::EC2::SubnetRouteTableAssociation": None,
    "AWS::EC2::VPC": None,
    "AWS::EC2::VPCGatewayAttachment": None,
    "AWS::Events::EventBus": None,
    "AWS::Events::EventBusPolicy": None,
    "AWS::Events::Rule": None,  # targets that need one, such as a connection, are types of their own
    "AWS::IAM::InstanceProfile": None,
    "AWS::IAM::Policy": None,
    "AWS::IAM::Role": None,
    # Image Builder User Guide, "Using IAM service-linked roles": "When you create your first Image Builder resource …
    # Image Builder creates the service-linked role for you."
    "AWS::ImageBuilder::DistributionConfiguration": MADE,
    "AWS::ImageBuilder::ImagePipeline": MADE,
    "AWS::ImageBuilder::ImageRecipe": MADE,
    "AWS::ImageBuilder::InfrastructureConfiguration": MADE,
    "AWS::KMS::Key": None,  # only multi-Region keys have one
    "AWS::Lambda::EventInvokeConfig": None,
    "AWS::Lambda::EventSourceMapping": None,
    "AWS::Lambda::Function": None,
    "AWS::Lambda::Permission": None,
    "AWS::Lambda::Url": None,
    "AWS::Logs::LogGroup": None,
    "AWS::RAM::ResourceShare": None,  # only for an organization: enable-sharing-with-aws-organization makes it
    "AWS::S3::Bucket": None,
    "AWS::S3::BucketPolicy": None,
    "AWS::SNS::Subscription": None,
    "AWS::SNS::Topic": None,
    "AWS::SNS::TopicPolicy": None,
    "AWS::SQS::Queue": None,
    "AWS::SQS::QueuePolicy": None,
    "AWS::SSM::Document": None,
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_command_for_a_service_linked_role_is_in_the_readme_and_in_the_template(template):
    document = expansion(template).document
    for resource in document["Resources"].values():
        kind = resource["Type"]
        assert kind in SERVICE_LINKED_ROLES, f"does {kind} need a service-linked role at its first use? Add it above"
        service = SERVICE_LINKED_ROLES[kind]
        if service not in (None, MADE):
            command = f"aws iam create-service-linked-role --aws-service-name {service}"
            assert command in readme_of(template), kind
            text = re.sub(r"\s+#?\s*", " ", (ROOT / template).read_text())
            assert command in text, kind


# What a failed creation leaves -------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_creation_that_fails_leaves_nothing_behind(template):
    for name, resource in load(template)["Resources"].items():
        # Retain holds for a creation that is rolled back, too; RetainExceptOnCreate does not.
        assert resource.get("DeletionPolicy") != "Retain", f"{name}: use RetainExceptOnCreate"
