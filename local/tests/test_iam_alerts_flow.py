"""The iam-alerts capability as a whole: record, pattern, mail, with the real binary."""

import copy
import functools
import itertools
import json
import operator
import re
import threading
import time

import botocore.session
import pytest
from moto.events.exceptions import InvalidEventPatternException

from gatehouse_local import ROOT, events
from gatehouse_local.iam_alerts import AlertQueue, Mailer, TransformerRefused, matches, transformed
from template_checks.template import Deployed, load

TEMPLATE, SPOKE = "functions/iam-alerts/template.yaml", "functions/iam-alerts/spoke.yaml"
HUB = {"HubBusArn": "arn:aws:events:us-east-1:999999999999:event-bus/hub"}
SCOPES = ["all", "changes", "authorization"]
RENDERED = ROOT / "local" / ".work" / "iam-alerts" / "mails.txt"

# What moto 5.2 judges wrongly among the patterns that AWS takes: empty lists and objects in lists. Ours have neither.
MOTO_IS_WRONG = {"exists_list_empty_NEG", "list_within_dict"}


def deployed(path=TEMPLATE, region="us-east-1", **given):
    return Deployed(load(path), region=region, **(HUB if path == SPOKE else {}), **given)


def pattern(path=TEMPLATE, rule="IamRule", **given):
    return deployed(path, **given).properties(rule)["EventPattern"]


def wrap(record):
    return {
        "version": "0",
        "id": "7d9a0c00-0000-4000-8000-000000000000",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws." + record["eventSource"].split(".")[0],
        "account": record.get("recipientAccountId", "123456789012"),
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": record,
    }


def records(folder):
    found = {}
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        for record in document.get("Records", [document]):
            found[path.stem] = wrap(record)
    return found


@pytest.fixture
def mailer(aws, binary):
    with Mailer(aws, binary("iam-alert-mail")) as made:
        yield made


# The judges -----------------------------------------------------------------------------------------


def test_moto_judges_patterns_as_aws_does_but_for_what_is_listed(real):
    wrong, judged = set(), 0
    for vector in json.loads((real / "eventbridge/patterns.json").read_text()):
        if vector["expected"] == "invalid":
            continue
        judged += 1
        try:
            seen = matches(vector["pattern"], vector["event"])
        except InvalidEventPatternException:
            seen = None
        if seen is not (vector["expected"] == "match"):
            wrong.add(vector["name"])
    assert (judged, wrong) == (117, MOTO_IS_WRONG)


def test_transformers_are_rendered_as_aws_delivers_them(real):
    vectors = json.loads((real / "eventbridge/transformers.json").read_text())
    for vector in vectors:
        if "input_path" in vector:
            continue  # PutTargets refuses two kinds of input; ours have one
        made = (vector["input_paths_map"], vector["input_template"], vector["event"], vector.get("variables"))
        if "expected_error" in vector:
            with pytest.raises(TransformerRefused):
                transformed(*made)
        elif isinstance(vector["expected_output"], str):
            assert transformed(*made) == vector["expected_output"], vector["name"]
        else:
            assert json.loads(transformed(*made)) == vector["expected_output"], vector["name"]
    assert len(vectors) == 26


def strict(node):
    """Raises AssertionError where a pattern uses anything but the operators that AWS documents, in their forms."""
    for key, value in node.items():
        assert key != "$or"
        if isinstance(value, dict):
            strict(value)
            continue
        assert isinstance(value, list) and value, key
        for item in value:
            if isinstance(item, str):
                continue
            [(operator, operand)] = item.items()
            if operator == "anything-but" and isinstance(operand, dict):
                [(operator, operand)] = operand.items()
                assert operator in ("prefix", "wildcard") and isinstance(operand, list)
            elif operator == "anything-but":
                assert isinstance(operand, list)
            elif operator == "exists":
                assert operand is False
                continue
            else:
                assert operator in ("prefix", "wildcard") and isinstance(operand, str)
            for text in operand if isinstance(operand, list) else [operand]:
                assert isinstance(text, str) and text and text.count("*") <= (operator == "wildcard")


PRINCIPALS = "arn:aws:iam::123456789012:role/deploy,arn:aws:sts::123456789012:assumed-role/terraform/*"
EXCLUSIONS = [{}, {"ExcludePrincipalArns": PRINCIPALS}, {"ExcludeEventNames": "TagRole,CreateUser"}]
EXCLUSIONS.append(EXCLUSIONS[1] | EXCLUSIONS[2])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("given", EXCLUSIONS)
def test_patterns_use_documented_operators_and_the_spoke_has_the_same(scope, given):
    ours = pattern(Scope=scope, **given)
    strict(ours)
    assert pattern(SPOKE, Scope=scope, **given) == ours
    hub = copy.deepcopy(pattern(rule="HubRule", Scope=scope, HubAccountIds="444455556666", **given))
    assert hub.pop("account") == [{"anything-but": ["111122223333"]}]
    assert hub == ours


@pytest.mark.parametrize("scope", SCOPES)
def test_the_longest_exclusions_fit_the_quota(scope):
    # The most items of the shortest kind have the most quotes.
    short = "arn:aws:iam::123456789012:role/a"
    arns = [",".join([short] * (400 // (len(short) + 1))), short + "a" * (400 - len(short))]
    names = [",".join(["Abc"] * 75), ",".join(["A" + "b" * 63] * 4)]
    for principals in arns:
        for events_left_out in names:
            found = pattern(
                rule="HubRule",
                Mail="plain",
                Scope=scope,
                HubAccountIds="444455556666",
                ExcludePrincipalArns=principals,
                ExcludeEventNames=events_left_out,
            )
            assert len(json.dumps(found, separators=(",", ":"))) <= 2048
    assert load(TEMPLATE)["Parameters"]["ExcludePrincipalArns"]["MaxLength"] == 400
    assert load(TEMPLATE)["Parameters"]["ExcludeEventNames"]["MaxLength"] == 300


@pytest.mark.parametrize("scope", SCOPES)
def test_only_all_asks_for_reads(scope):
    state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" if scope == "all" else "ENABLED"
    stack = deployed(Scope=scope, HubAccountIds="444455556666")
    assert {stack.properties(rule)["State"] for rule in ("IamRule", "HubRule")} == {state}
    assert deployed(SPOKE, Scope=scope).properties("IamRule")["State"] == state


# Which calls alert ----------------------------------------------------------------------------------

READS = ("Get", "List", "Generate", "Simulate")
THINGS = "InstanceProfile MFADevice OpenIDConnectProvider Policy Role SAMLProvider ServerCertificate User".split()
# The access level of each call of IAM (Service Authorization Reference, "AWS Identity and Access Management"). A new
# call has none, so that the test fails, and a person reads its page and decides. It is mailed meanwhile.
LEVELS = {
    "Tagging": {f"{verb}{thing}" for verb in ("Tag", "Untag") for thing in THINGS},
    # Writes that give nobody a right: a request is refused; the clock of a device is set.
    "harmless": {"RejectDelegationRequest", "ResyncMFADevice"},
    "Read or List": set("""
        GenerateCredentialReport GenerateOrganizationsAccessReport GenerateServiceLastAccessedDetails
        GetAccessKeyLastUsed GetAccountAuthorizationDetails GetAccountPasswordPolicy GetAccountProperties
        GetAccountSummary GetContextKeysForCustomPolicy GetContextKeysForPrincipalPolicy GetCredentialReport
        GetDelegationRequest GetGroup GetGroupPolicy GetHumanReadableSummary GetInstanceProfile GetLoginProfile
        GetMFADevice GetOpenIDConnectProvider GetOrganizationsAccessReport GetOutboundWebIdentityFederationInfo
        GetPolicy GetPolicyVersion GetRole GetRolePolicy GetRoleTemplateVersion GetSAMLProvider GetSSHPublicKey
        GetServerCertificate GetServiceLastAccessedDetails GetServiceLastAccessedDetailsWithEntities
        GetServiceLinkedRoleDeletionStatus GetUser GetUserPolicy ListAccessKeys ListAccountAliases
        ListAttachedGroupPolicies ListAttachedRolePolicies ListAttachedUserPolicies ListDelegationRequests
        ListEntitiesForPolicy ListGroupPolicies ListGroups ListGroupsForUser ListInstanceProfileTags
        ListInstanceProfiles ListInstanceProfilesForRole ListMFADeviceTags ListMFADevices
        ListOpenIDConnectProviderTags ListOpenIDConnectProviders ListOrganizationsFeatures ListPolicies
        ListPoliciesGrantingServiceAccess ListPolicyTags ListPolicyVersions ListRolePolicies ListRoleTags ListRoles
        ListSAMLProviderTags ListSAMLProviders ListSSHPublicKeys ListServerCertificateTags ListServerCertificates
        ListServiceSpecificCredentials ListSigningCertificates ListUserPolicies ListUserTags ListUsers
        ListVirtualMFADevices SimulateCustomPolicy SimulatePrincipalPolicy
    """.split()),
    "Write or Permissions management": set("""
        AcceptDelegationRequest AcquireRole AddClientIDToOpenIDConnectProvider AddRoleToInstanceProfile AddUserToGroup
        AssociateDelegationRequest AttachGroupPolicy AttachRolePolicy AttachUserPolicy ChangePassword CreateAccessKey
        CreateAccountAlias CreateDelegationRequest CreateGroup CreateInstanceProfile CreateLoginProfile
        CreateOpenIDConnectProvider CreatePolicy CreatePolicyVersion CreateRole CreateSAMLProvider
        CreateServiceLinkedRole CreateServiceSpecificCredential CreateUser CreateVirtualMFADevice DeactivateMFADevice
        DeleteAccessKey DeleteAccountAlias DeleteAccountPasswordPolicy DeleteGroup DeleteGroupPolicy
        DeleteInstanceProfile DeleteLoginProfile DeleteOpenIDConnectProvider DeletePolicy DeletePolicyVersion
        DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DeleteSAMLProvider DeleteSSHPublicKey
        DeleteServerCertificate DeleteServiceLinkedRole DeleteServiceSpecificCredential DeleteSigningCertificate
        DeleteUser DeleteUserPermissionsBoundary DeleteUserPolicy DeleteVirtualMFADevice DetachGroupPolicy
        DetachRolePolicy DetachUserPolicy DisableOrganizationsRootCredentialsManagement
        DisableOrganizationsRootSessions DisableOutboundWebIdentityFederation EnableMFADevice
        EnableOrganizationsRootCredentialsManagement EnableOrganizationsRootSessions
        EnableOutboundWebIdentityFederation PutAccountProperties PutGroupPolicy PutRolePermissionsBoundary
        PutRolePolicy PutUserPermissionsBoundary PutUserPolicy RemoveClientIDFromOpenIDConnectProvider
        RemoveRoleFromInstanceProfile RemoveUserFromGroup ResetServiceSpecificCredential SendDelegationToken
        SetDefaultPolicyVersion SetSecurityTokenServicePreferences UpdateAccessKey UpdateAccountPasswordPolicy
        UpdateAssumeRolePolicy UpdateDelegationRequest UpdateGroup UpdateLoginProfile
        UpdateOpenIDConnectProviderThumbprint UpdateRole UpdateRoleDescription UpdateSAMLProvider UpdateSSHPublicKey
        UpdateServerCertificate UpdateServiceSpecificCredential UpdateSigningCertificate UpdateUser
        UploadSSHPublicKey UploadServerCertificate UploadSigningCertificate
    """.split()),
}  # fmt: skip
# The levels that a scope leaves out.
LEFT_OUT = {
    "all": set(),
    "changes": {"Read or List"},
    "authorization": {"Read or List", "Tagging", "harmless"},
}


def call(name, **fields):
    return events.iam_event(name, events.iam_alerts()["tag-role.json"]["detail"]["userIdentity"], "1" * 36, **fields)


def test_every_call_of_iam_has_one_access_level():
    names = set(botocore.session.get_session().get_service_model("iam").operation_names)
    decided = [name for level in LEVELS.values() for name in level]
    assert len(decided) == len(set(decided)), "a call has two levels"
    assert names - set(decided) == set(), "read the page of the call, and decide its level"


@pytest.mark.parametrize(("path", "rule"), [(TEMPLATE, "IamRule"), (TEMPLATE, "HubRule"), (SPOKE, "IamRule")])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_mails_every_call_but_those_of_the_levels_that_it_leaves_out(path, rule, scope):
    ours = pattern(path, rule, Scope=scope, **({"HubAccountIds": "444455556666"} if rule == "HubRule" else {}))
    for level, names in LEVELS.items():
        mailed = {name for name in names if matches(ours, call(name))}
        assert mailed == (set() if level in LEFT_OUT[scope] else names), level


@pytest.mark.parametrize("scope", SCOPES)
def test_a_call_of_tomorrow_is_mailed_whatever_its_verb(scope):
    # Verbs that give rights, and names that begin as one that is left out.
    names = ["RevokeEverything", "LeaseRole", "AcquireUser", "GenerateAccessKey", "SimulateLogin", "RejectBoundary"]
    for given in EXCLUSIONS:
        ours = pattern(Scope=scope, **given)
        for event in [call(name) for name in names]:
            assert matches(ours, event), event["detail"]["eventName"]
        without = call("x")
        del without["detail"]["eventName"]
        assert matches(ours, without)


def test_every_real_record_is_judged_by_each_scope_and_no_other_service_matches(real):
    for name, event in records(real / "cloudtrail").items():
        read = event["detail"]["eventName"].startswith(READS)
        tag = event["detail"]["eventName"].startswith("Tag")
        seen = [matches(pattern(Scope=scope), event) for scope in SCOPES]
        assert seen == [True, not read, not read and not tag], name
    others = records(real / "cloudtrail-other")
    assert len(others) == 5
    for name, event in others.items():
        for disguise in (event, event | {"source": "aws.iam"}):
            assert not any(matches(pattern(Scope=scope), disguise) for scope in SCOPES), name


@pytest.mark.parametrize("scope", SCOPES)
def test_exclusions_leave_out_what_they_name_and_keep_events_without_the_field(scope):
    ours = pattern(Scope=scope, ExcludePrincipalArns=PRINCIPALS)
    by_role = events.iam_event("PutRolePolicy", events.iam_role("deploy", "ci"), "1" * 36)
    by_session = events.iam_event("PutRolePolicy", events.iam_role("terraform", "apply-7"), "1" * 36)
    other = events.iam_event("PutRolePolicy", events.iam_role("deployer", "ci"), "1" * 36)
    assert [matches(ours, event) for event in (by_role, by_session, other)] == [False, False, True]
    for identity in ({}, {"type": "AWSService", "invokedBy": "sso.amazonaws.com"}, None):
        event = events.iam_event("PutRolePolicy", {}, "1" * 36, userIdentity=identity)
        assert matches(ours, event), identity
    for path in (TEMPLATE, SPOKE):
        ours = pattern(path, Scope=scope, ExcludeEventNames="PutRolePolicy,CreateUser")
        assert not matches(ours, other)
        for name in ("PutRolePolicyX", "PutUserPolicy"):
            assert matches(ours, events.iam_event(name, {}, "1" * 36))


# Where it may be deployed ---------------------------------------------------------------------------

HOME = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}


@pytest.mark.parametrize("path", [TEMPLATE, SPOKE])
@pytest.mark.parametrize(("partition", "home"), HOME.items())
def test_another_region_than_the_home_of_iam_is_refused_and_the_right_one_named(path, partition, home):
    given = HUB if path == SPOKE else {}
    assert Deployed(load(path), region=home, partition=partition, **given).refusals() == []
    [said] = Deployed(load(path), region="eu-west-1", partition=partition, **given).refusals()
    assert f"--region {home}" in said


@pytest.mark.parametrize("path", [TEMPLATE, SPOKE])
def test_a_partition_that_is_not_known_is_refused_with_what_to_do(path):
    given = HUB if path == SPOKE else {}
    for region in ("us-east-1", "xx-new-1"):
        [said] = Deployed(load(path), region=region, partition="aws-new", **given).refusals()
        assert "partition" in said and "add" in said and "HomeRegionOf" in said
    # Each partition that is known has a rule of its own.
    rules = load(path)["Rules"]
    [known] = rules["HomeRegionIsKnown"]["Assertions"]
    homes = [it["RuleCondition"]["Fn::Equals"][1] for name, it in rules.items() if name.startswith("HomeRegionOf")]
    assert known["Assert"]["Fn::Contains"][0] == homes == list(HOME)


def test_the_suite_refuses_it_in_another_region():
    suite = load("template.yaml")
    assert Deployed(suite, region="us-east-1", DeployIamAlerts="Yes").refusals() == []
    for region, partition in (("eu-west-1", "aws"), ("xx-new-1", "aws-new")):
        [said] = Deployed(suite, region=region, partition=partition, DeployIamAlerts="Yes").refusals()
        assert "us-east-1" in said


def test_settings_that_could_not_work_are_refused():
    assert "Mail=readable" in deployed(Mail="plain", DryRun="true").refusals()[0]
    # Names can be left out of every scope, by the rule itself.
    names = {"Scope": "authorization", "ExcludeEventNames": "CreateUser"}
    for stack in (deployed(**names), deployed(**names, Mail="plain"), deployed(SPOKE, **names)):
        assert stack.refusals() == []


# Who may send and who may publish -------------------------------------------------------------------


@pytest.mark.parametrize(("mail", "role"), [("readable", "MailRole"), ("plain", "PlainMailRole")])
def test_only_the_function_or_only_the_rule_publishes(mail, role):
    stack = deployed(Mail=mail)
    assert stack.properties("AlertTopic")["SignatureVersion"] == "2"
    refused, tls = stack.properties("AlertTopicPolicy")["PolicyDocument"]["Statement"]
    assert (refused["Effect"], refused["Principal"]) == ("Deny", "*")
    assert refused["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": f"<{role}.Arn>"}}
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert ("PlainMailRole" in stack.resources) is (mail == "plain")


def test_only_the_rules_invoke_the_function():
    # No service may invoke it: Lambda takes the calls from the queue, which takes them from the rules.
    stack = deployed(HubAccountIds="444455556666")
    assert not stack.of_type("AWS::Lambda::Permission")
    [source] = stack.properties("IamAlertMailFunction")["Events"].values()
    assert source["Type"] == "SQS" and source["Properties"]["Queue"] == "<AlertQueue.Arn>"
    policy = stack.properties("AlertQueuePolicy")
    statements = policy["PolicyDocument"]["Statement"]
    allowed = [it for it in statements if it["Effect"] == "Allow"]
    [tls] = [it for it in statements if it["Sid"] == "RequireTls"]
    assert policy["Queues"] == ["<AlertQueue>"]
    for statement, rule in zip(allowed, ("IamRule", "HubRule"), strict=True):
        assert (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": "events.amazonaws.com"})
        assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", "<AlertQueue.Arn>")
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": f"<{rule}.Arn>"}}
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert "AlertQueue" not in deployed(Mail="plain").resources


def test_the_queue_hands_over_two_batches_at_a_time_and_keeps_what_failed():
    stack = deployed()
    function, queue = stack.properties("IamAlertMailFunction"), stack.properties("AlertQueue")
    [source] = function["Events"].values()
    properties = source["Properties"]
    assert properties["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # A batch of changes has a mail each half second, and 2 s are for the log.
    assert properties["BatchSize"] * 0.5 <= function["Timeout"] - 2
    # Lambda Developer Guide, "Using Lambda with Amazon SQS": six times the time-out, and the window.
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + properties["MaximumBatchingWindowInSeconds"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "<FailureQueue.Arn>", "maxReceiveCount": 5}
    # SQS Developer Guide: the age counts on in the dead-letter queue, so that one keeps messages longer.
    assert queue["MessageRetentionPeriod"] < stack.properties("FailureQueue")["MessageRetentionPeriod"]
    assert queue["SqsManagedSseEnabled"] is True
    with_key = deployed(NotificationKeyArn=KEY).properties("AlertQueue")
    assert with_key["KmsMasterKeyId"] == KEY and "SqsManagedSseEnabled" not in with_key


def test_the_bus_admits_the_organization_or_the_accounts_given_and_events_of_iam_alone():
    assert not deployed().of_type("AWS::Events::EventBus")
    stack = deployed(HubOrganizationId="o-abcdefghij", HubAccountIds="444455556666,777788889999")
    organization = stack.properties("HubBusOrganizationPolicy")["Statement"]
    iam_alone = {
        "BoolIfExists": {"events:eventBusInvocation": "true"},
        "ForAllValues:StringEquals": {"events:source": "aws.iam"},
    }
    assert organization["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}} | iam_alone
    accounts = stack.properties("HubBusAccountPolicy")["Statement"]
    assert accounts["Principal"] == {"AWS": ["444455556666", "777788889999"]}
    assert accounts["Condition"] == iam_alone
    assert "HubBusOrganizationPolicy" not in deployed(HubAccountIds="444455556666").resources


def test_nothing_that_could_not_be_delivered_is_lost_and_nothing_is_forwarded_twice():
    for stack in (deployed(HubAccountIds="444455556666"), deployed(SPOKE)):
        for rule in stack.of_type("AWS::Events::Rule").values():
            [target] = rule["Properties"]["Targets"]
            assert target["DeadLetterConfig"] == {"Arn": "<FailureQueue.Arn>"}
    # The hub's rules end in the queue or the topic, never in a bus: no loop.
    for mail, end in (("readable", "<AlertQueue.Arn>"), ("plain", "<AlertTopic>")):
        stack = deployed(HubAccountIds="444455556666", Mail=mail)
        ends = {rule["Properties"]["Targets"][0]["Arn"] for rule in stack.of_type("AWS::Events::Rule").values()}
        assert ends == {end}


# What is deployed ------------------------------------------------------------------------------------

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALARM_TOPIC = "arn:aws:sns:us-east-1:111122223333:alarms"
HUBS = [{}, {"HubOrganizationId": "o-abcdefghij"}, {"HubAccountIds": "444455556666"}]
HUBS.append(HUBS[1] | HUBS[2])
# What is there in any case, and with a setting.
ALWAYS = {
    "IamRule", "AlertTopic", "AlertTopicPolicy", "FailureQueue", "FailureQueuePolicy", "FailureQueueAlarm",
    "NobodyMailedAlarm",
}  # fmt: skip
READABLE = {
    "IamAlertMailFunction", "MailRole", "MailLogGroup", "AlertQueue", "AlertQueuePolicy", "MailErrorsAlarm",
    "MailsFailedAlarm", "MailsLateAlarm",
}  # fmt: skip


def combinations(mail, scope):
    """The other settings that the template takes: none, each with each other, and all of them.

    `test_template_expansion.py` expands the template with every combination.
    """
    switches = [HUBS, EXCLUSIONS]
    switches += [
        [{}, {name: value}]
        for name, value in (
            ("CreateTrail", "Yes"),
            ("NotificationKeyArn", KEY),
            ("NotifyEmail", "you@example.com"),
            ("AlarmTopicArn", ALARM_TOPIC),
            ("Tracing", "on"),
            ("KeepLogs", "Yes"),
        )
    ]
    few = [changed for count in range(3) for changed in itertools.combinations(switches, count)]
    for changed in [*few, switches]:
        for chosen in itertools.product(*(options[1:] for options in changed)):
            yield functools.reduce(operator.or_, chosen, {"Mail": mail, "Scope": scope})


def expected(given):
    """The logical ids of a stack with these settings."""
    is_hub = "HubOrganizationId" in given or "HubAccountIds" in given
    found = ALWAYS | (READABLE if given["Mail"] == "readable" else {"PlainMailRole"})
    for asked, names in (
        (is_hub, {"HubBus", "HubRule"}),
        ("HubOrganizationId" in given, {"HubBusOrganizationPolicy"}),
        ("HubAccountIds" in given, {"HubBusAccountPolicy"}),
        ("CreateTrail" in given, {"Trail", "TrailBucket", "TrailBucketPolicy"}),
        ("KeepLogs" in given and given["Mail"] == "readable", {"KeptMailLogGroup"}),
        ("NotificationKeyArn" in given, {"KeyPolicy"}),
        ("NotifyEmail" in given, {"AlertSubscription"}),
        ("NotifyEmail" in given and "AlarmTopicArn" not in given, {"AlarmTopic", "AlarmTopicPolicy", "AlarmMail"}),
    ):
        found |= names if asked else set()
    return found - ({"MailLogGroup"} if "KeepLogs" in given else set())


@pytest.mark.parametrize("mail", ["readable", "plain"])
@pytest.mark.parametrize("scope", SCOPES)
def test_any_two_settings_together_give_a_whole_stack(mail, scope):
    declared = load(TEMPLATE)["Resources"].keys()
    given_all = list(combinations(mail, scope))
    assert len(given_all) >= 64
    for given in given_all:
        stack = deployed(**given)
        assert stack.refusals() == []
        assert stack.resources.keys() == expected(given), given
        # Whatever refers to a resource refers to one that is there.
        said = json.dumps([stack.resources, stack.outputs])
        missing = declared - stack.resources.keys()
        assert not {name for name in missing if f"<{name}>" in said or f"<{name}." in said}, given
        assert stack.resources.get("Trail", {}).get("DependsOn") in (None, "TrailBucketPolicy")
        assert ("HubBusArn" in stack.outputs) is ("HubBus" in stack.resources)
        rules = {f"<{name}.Arn>" for name in stack.of_type("AWS::Events::Rule")}
        statements = stack.properties("FailureQueuePolicy")["PolicyDocument"]["Statement"]
        senders = [it["Condition"]["ArnEquals"]["aws:SourceArn"] for it in statements if it["Effect"] == "Allow"]
        assert set(senders) == rules and len(senders) == len(rules)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("given", EXCLUSIONS)
def test_plain_mails_leave_out_what_any_credentials_can_make(scope, given):
    """Nothing paces them: what fails needs no right, and could suspend the address."""
    denied, changed = events.load("iam-alerts/denied.json"), events.load("iam-alerts/put-role-policy.json")
    root = events.load("iam-alerts/root-access-key.json")
    failed_root = root | {"detail": root["detail"] | {"errorCode": "AccessDenied"}}
    for rule in ("IamRule", "HubRule"):
        asked = {"Scope": scope, "HubAccountIds": "444455556666"} | given
        readable, ours = (pattern(rule=rule, Mail=mail, **asked) for mail in ("readable", "plain"))
        for judged, event in ((True, changed), (True, root), (True, failed_root), (False, denied)):
            there = event | {"account": "444455556666"}
            assert matches(ours, there) is (judged and matches(readable, there))
        assert matches(ours, failed_root | {"account": "444455556666"})
        assert {key: value for key, value in ours["detail"].items() if key != "$or"} == readable["detail"]


@pytest.mark.parametrize(
    ("given", "group", "policy"), [("No", "MailLogGroup", "Delete"), ("Yes", "KeptMailLogGroup", "Retain")]
)
def test_the_log_of_the_alerts_stays_where_it_is_asked_for(given, group, policy):
    stack = deployed(KeepLogs=given)
    [(name, found)] = stack.of_type("AWS::Logs::LogGroup").items()
    assert (name, found["UpdateReplacePolicy"]) == (group, policy)
    assert found["DeletionPolicy"] == {"Delete": "Delete", "Retain": "RetainExceptOnCreate"}[policy]
    # A name of its own would be in the way of the next stack.
    assert ("LogGroupName" in found["Properties"]) is (given == "No")
    assert stack.properties("IamAlertMailFunction")["LoggingConfig"]["LogGroup"] == f"<{group}>"
    assert f"<{group}.Arn>" in json.dumps(stack.properties("MailRole"))


def test_plain_mails_need_no_code():
    stack = deployed(Mail="plain", Tracing="on", NotificationKeyArn=KEY, HubAccountIds="444455556666")
    kinds = {resource["Type"] for resource in stack.resources.values()}
    assert not {kind for kind in kinds if "Lambda" in kind or "Serverless" in kind or "Logs" in kind}


# The key of the topic ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mail", "role"), [("readable", "MailRole"), ("plain", "PlainMailRole")])
def test_who_publishes_may_use_the_key_of_the_topic(mail, role):
    stack = deployed(Mail=mail, NotificationKeyArn=KEY)
    assert stack.properties("AlertTopic")["KmsMasterKeyId"] == KEY
    policy = stack.properties("KeyPolicy")
    assert policy["Roles"] == [f"<{role}>"]
    [granted] = policy["PolicyDocument"]["Statement"]
    assert (granted["Effect"], granted["Resource"]) == ("Allow", KEY)
    assert granted["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    # It is the role with which the rule publishes, and the only one that the topic admits.
    if mail == "plain":
        [target] = stack.properties("IamRule")["Targets"]
        assert (target["Arn"], target["RoleArn"]) == ("<AlertTopic>", f"<{role}.Arn>")
        [trust] = stack.properties(role)["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    else:
        assert stack.properties("IamAlertMailFunction")["Role"] == f"<{role}.Arn>"
    refused, _ = stack.properties("AlertTopicPolicy")["PolicyDocument"]["Statement"]
    assert refused["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": f"<{role}.Arn>"}}
    assert "KmsMasterKeyId" not in deployed(Mail=mail).properties("AlertTopic")


@pytest.mark.parametrize("mail", ["readable", "plain"])
def test_the_statement_for_the_key_in_the_readme_allows_what_the_role_needs(mail):
    readme = (ROOT / "functions" / "iam-alerts" / "README.md").read_text()
    [statement] = [json.loads(it) for it in re.findall(r"```json\n(.*?)```", readme, re.DOTALL) if "kms:" in it]
    [needed] = deployed(Mail=mail, NotificationKeyArn=KEY).properties("KeyPolicy")["PolicyDocument"]["Statement"]
    assert sorted(statement["Action"]) == sorted(needed["Action"])
    # The account, whose policies give the role of the stack the rest: the role is made after the key.
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    # The topic and the failure queue are both encrypted with it.
    services = ["sns.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": services}}
    assert (statement["Effect"], statement["Resource"]) == ("Allow", "*")


# The trail -----------------------------------------------------------------------------------------


def test_the_trail_records_the_calls_of_iam_and_shows_whether_a_file_was_changed():
    stack = deployed(CreateTrail="Yes", TrailRetentionDays="30")
    trail = stack.properties("Trail")
    assert trail == {
        "S3BucketName": "<TrailBucket>",
        "IsLogging": True,
        "IsMultiRegionTrail": False,
        "IncludeGlobalServiceEvents": True,  # without it a trail of one Region has no call of IAM
        "EnableLogFileValidation": True,
    }
    # No selector: by default a trail records all management events, reads and writes.
    assert stack.resources["Trail"]["DependsOn"] == "TrailBucketPolicy"


def test_the_files_of_the_trail_are_private_encrypted_and_outlive_the_stack():
    stack = deployed(CreateTrail="Yes", TrailRetentionDays="30")
    bucket = stack.resources["TrailBucket"]
    # A stack that could not be created leaves no empty bucket.
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    [encryption] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [expiry] = properties["LifecycleConfiguration"]["Rules"]
    assert (expiry["Status"], expiry["ExpirationInDays"]) == ("Enabled", "30")


def test_cloudtrail_writes_for_this_account_alone_and_nobody_without_tls():
    stack = deployed(CreateTrail="Yes")
    policy = stack.properties("TrailBucketPolicy")
    assert policy["Bucket"] == "<TrailBucket>"
    check, write, tls = policy["PolicyDocument"]["Statement"]
    of_account = {"ArnLike": {"aws:SourceArn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/*"}}
    for statement, action, resource in (
        (check, "s3:GetBucketAcl", "<TrailBucket.Arn>"),
        (write, "s3:PutObject", "<TrailBucket.Arn>/AWSLogs/111122223333/*"),
    ):
        assert (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": "cloudtrail.amazonaws.com"})
        assert (statement["Action"], statement["Resource"]) == (action, resource)
        assert statement["Condition"] == of_account
    assert (tls["Effect"], tls["Principal"], tls["Action"]) == ("Deny", "*", "s3:*")
    assert tls["Resource"] == ["<TrailBucket.Arn>", "<TrailBucket.Arn>/*"]
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# No silence ----------------------------------------------------------------------------------------


def metrics(stack, alarm):
    """The metrics that an alarm watches, with their dimensions."""
    properties = stack.properties(alarm)
    found = [it["MetricStat"]["Metric"] for it in properties.get("Metrics", []) if "MetricStat" in it] or [properties]
    return {(it["Namespace"], it["MetricName"], *it["Dimensions"][0].values()) for it in found}


def test_an_alert_that_is_late_or_reaches_nobody_raises_an_alarm():
    stack = deployed()
    function, topic = ("FunctionName", "<IamAlertMailFunction>"), ("TopicName", "<AlertTopic.TopicName>")
    assert metrics(stack, "MailErrorsAlarm") == {("AWS/Lambda", "Errors", *function)}
    assert metrics(stack, "MailsFailedAlarm") == {("Gatehouse", "Failed", *function)}
    oldest = ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "<AlertQueue.QueueName>")
    assert metrics(stack, "MailsLateAlarm") == {oldest}
    late = stack.properties("MailsLateAlarm")
    assert (late["Statistic"], late["Threshold"]) == ("Maximum", 10 * 60)
    of_topic = {("AWS/SNS", name, *topic) for name in ("NumberOfMessagesPublished", "NumberOfNotificationsDelivered")}
    assert metrics(stack, "NobodyMailedAlarm") == of_topic | {oldest}
    assert metrics(deployed(Mail="plain"), "NobodyMailedAlarm") == of_topic
    for plain_stack in (deployed(Mail="plain"), deployed(SPOKE)):
        assert metrics(plain_stack, "FailureQueueAlarm") == {
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "<FailureQueue.QueueName>")
        }
    assert "NobodyMailedAlarm" in deployed(Mail="plain").resources


def test_the_alarm_of_a_spoke_goes_to_its_topic():
    topic = "arn:aws:sns:us-east-1:111122223333:alarms"
    [loud] = deployed(SPOKE, AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm").values()
    assert loud["Properties"]["AlarmActions"] == loud["Properties"]["OKActions"] == [topic]
    assert "AlarmActions" not in deployed(SPOKE).properties("FailureQueueAlarm")


@pytest.mark.parametrize(
    ("published", "waiting", "delivered", "alarm"),
    [
        (None, None, None, False),
        (3, 10, 3, False),
        (3, None, 1, False),
        (3, None, None, True),
        (1, None, 0, True),
        (None, None, 2, False),
        # Nothing is published, as where the function cannot run: calls wait.
        (None, 121, None, True),
        (0, 60, 0, False),
        (5, 400, 5, False),
    ],
)
def test_the_alarm_goes_off_within_five_minutes_where_calls_come_and_no_mail_is_delivered(
    published, waiting, delivered, alarm
):
    properties = deployed().properties("NobodyMailedAlarm")
    [watched] = [it for it in properties["Metrics"] if it["ReturnData"]]
    parts = {it["Id"]: it["MetricStat"] for it in properties["Metrics"] if "MetricStat" in it}
    assert {it["Period"] * properties["EvaluationPeriods"] for it in parts.values()} == {300}
    assert {name: it["Stat"] for name, it in parts.items()} == {
        "published": "Sum", "delivered": "Sum", "waiting": "Maximum"
    }  # fmt: skip
    # CloudWatch's operators, in Python's words.
    expression = watched["Expression"].replace("AND", "and").replace("OR", "or")
    seen = {"published": published, "waiting": waiting, "delivered": delivered}
    functions = {
        "FILL": lambda value, other: other if value is None else value,
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
    }
    value = eval(expression, {"__builtins__": {}}, seen | functions)
    assert properties["ComparisonOperator"] == "GreaterThanThreshold"
    assert (value > properties["Threshold"]) is alarm


def test_an_output_says_who_is_told_that_alerts_fail():
    for given, said in (
        ({"AlarmTopicArn": ALARM_TOPIC, "NotifyEmail": "you@example.com"}, "The subscribers of AlarmTopicArn."),
        ({"NotifyEmail": "you@example.com"}, "set AlarmTopicArn"),
        ({}, "Nobody: the alarms have no action. Set AlarmTopicArn"),
    ):
        assert said in deployed(**given).outputs["AlarmsReach"]["Value"]


@pytest.mark.parametrize("mail", ["readable", "plain"])
def test_an_event_that_cannot_be_delivered_is_in_the_failure_queue_within_the_hour(mail):
    for stack in (deployed(Mail=mail, HubAccountIds="444455556666"), deployed(SPOKE)):
        for rule in stack.of_type("AWS::Events::Rule").values():
            for target in rule["Properties"]["Targets"]:
                assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600}


IAM, STS = "arn:aws:iam::123456789012:", "arn:aws:sts::123456789012:"


@pytest.mark.parametrize("path", [TEMPLATE, SPOKE])
@pytest.mark.parametrize(
    ("principals", "taken"),
    [
        (PRINCIPALS, True),
        (f"{IAM}user/team/Ana", True),
        (f"{IAM}role/aws-reserved/sso.amazonaws.com/*", True),
        (f"{STS}federated-user/guest", True),
        ("arn:aws-cn:iam::123456789012:role/deploy", True),
        # The root user is never left out, and nobody leaves out all principals of a kind by a slip.
        (f"{IAM}root", False),
        (f"{IAM}*", False),
        (f"{IAM}r*", False),
        (f"{IAM}role/*", False),
        (f"{IAM}user/*", False),
        (f"{STS}*", False),
        (f"{STS}assumed-role/*", False),
        (f"{IAM}role/deploy,{IAM}r*", False),
        # Neither has such principals, so the exclusion would never match.
        (f"{STS}role/deploy", False),
        (f"{IAM}assumed-role/deploy/ci", False),
        (f"{IAM}role/de*loy", False),
        ("arn:aws:iam::*:role/deploy", False),
        (f"{IAM}role/deploy, {IAM}role/other", False),
    ],
)
def test_principals_are_left_out_by_name_and_the_root_user_never(path, principals, taken):
    if taken:
        assert deployed(path, ExcludePrincipalArns=principals).refusals() == []
    else:
        with pytest.raises(ValueError, match="ExcludePrincipalArns"):
            deployed(path, ExcludePrincipalArns=principals)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_root_user_is_mailed_whatever_is_left_out(scope):
    event = events.load("iam-alerts/root-access-key.json")
    assert matches(
        pattern(Scope=scope, ExcludePrincipalArns=f"{IAM}role/r*,{IAM}user/root,{STS}assumed-role/r*"), event
    )


# Mails ----------------------------------------------------------------------------------------------


def plain(event):
    [target] = deployed(Mail="plain").properties("IamRule")["Targets"]
    transformer = target["InputTransformer"]
    return transformed(transformer["InputPathsMap"], transformer["InputTemplate"], event)


def test_a_plain_mail_has_what_matters_and_keeps_its_quotes():
    lines = plain(events.load("iam-alerts/denied.json")).splitlines()
    assert lines[0] == '"Gatehouse iam-alerts: CreateUser in the account 123456789012"'
    assert lines[1].startswith('"FAILED (empty where the call succeeded): AccessDenied User: arn:aws:sts')
    succeeded = plain(events.load("iam-alerts/tag-role.json")).splitlines()
    assert succeeded[1].strip() == '"FAILED (empty where the call succeeded):  "'
    assert all(line.startswith('"') and line.endswith('"') for line in lines + succeeded)


def test_mails_of_all_records_can_be_read(mailer, real):
    samples = {f"sample {name}": event for name, event in events.iam_alerts().items() if "detail" in event}
    text = []
    for name, event in (records(real / "cloudtrail") | samples).items():
        outcome, [mail] = mailer.invoke(event)
        assert not outcome.failed, name
        detail = event["detail"]
        subject, body = mail["Subject"], mail["Message"]
        assert len(subject) < 100 and subject.isascii() and subject.isprintable(), subject
        assert event["account"] in subject
        if detail["eventName"]:
            assert detail["eventName"] in subject and detail["eventName"] in body
            assert ("FAILED" in subject) is ("errorCode" in detail)
            assert detail.get("eventID", "") in body and event["id"] in body
            assert ("ROOT" in subject) is (detail["userIdentity"]["type"] == "Root")
            assert detail["userIdentity"]["arn"] in body, body
        text.append(f"{'=' * 100}\n{name}\nSubject: {subject}\n\n{body}\n--- Mail=plain\n{plain(event)}\n")
    RENDERED.parent.mkdir(parents=True, exist_ok=True)
    RENDERED.write_text("\n".join(text))


def test_a_request_is_shown_in_the_order_in_which_it_was_written(mailer):
    event = events.load("iam-alerts/put-role-policy.json")
    names = ["roleName", "policyName", "policyDocument", "Version", "Statement", "Effect", "Action", "Resource"]
    [mail] = mailer.invoke(event)[1]
    shown = mail["Message"].partition("Request:")[2].partition("More of the record:")[0]
    assert re.findall(r'^ *"(\w+)": ', shown, re.MULTILINE) == names
    assert "On what: roleName web, policyName everything" in mail["Message"]


def test_a_record_that_is_not_understood_is_mailed_as_it_is(mailer):
    for detail in ({}, [], "text", {"eventName": 7, "x": "kept"}, {"eventName": "A", "userIdentity": "who"}):
        event = events.load("iam-alerts/tag-role.json") | {"detail": detail}
        outcome, [mail] = mailer.invoke(event)
        assert outcome.payload[0]["outcome"] == "NotUnderstood"
        assert json.dumps(detail, indent=2) in mail["Message"]


def test_identical_calls_of_one_invocation_are_not_merged(mailer):
    event = events.load("iam-alerts/tag-role.json")
    outcome, mails = mailer.invoke([event, event, event])
    assert len(mails) == len(outcome.payload) == 3


def test_a_repeated_delivery_is_mailed_again_with_the_same_ids(mailer):
    event = events.load("iam-alerts/put-role-policy.json")
    [first], [second] = mailer.invoke(event)[1], mailer.invoke(event)[1]
    assert first == second
    assert "A second mail with the same ids is about the same call" in first["Message"]


def test_a_record_that_is_too_large_is_cut_with_a_note(mailer):
    event = events.load("iam-alerts/put-role-policy.json")
    event["detail"]["requestParameters"]["policyDocument"] = "é" * 200_000
    _, [mail] = mailer.invoke(event)
    assert len(mail["Message"].encode()) <= 256 * 1024
    assert "CUT HERE" in mail["Message"] and event["detail"]["eventID"] in mail["Message"]


def test_names_outside_ascii_and_line_breaks_do_no_harm(mailer):
    event = events.load("iam-alerts/tag-role.json")
    event["detail"]["userIdentity"]["userName"] = "Zoë\r\nBcc: all\u202e" + "x" * 200
    _, [mail] = mailer.invoke(event)
    assert len(mail["Subject"]) < 100 and mail["Subject"].isascii() and mail["Subject"].isprintable()
    assert mail["Subject"].endswith(" in 123456789012")
    assert "\nBcc: all" not in mail["Message"] and "\u202e" not in mail["Message"]


def test_no_secret_that_iam_knows_is_mailed(mailer):
    model = botocore.session.get_session().get_service_model("iam")
    secret = set()

    def walk(shape, seen=()):
        if shape is not None and shape.name not in seen:
            if shape.type_name == "structure":
                for name, member in shape.members.items():
                    if member.metadata.get("sensitive"):
                        secret.add(name)
                    walk(member, (*seen, shape.name))
            elif shape.type_name == "list":
                walk(shape.member, seen)

    for name in model.operation_names:
        operation = model.operation_model(name)
        walk(operation.input_shape), walk(operation.output_shape)
    assert {"SecretAccessKey", "Password", "PrivateKey"} <= secret
    event = events.load("iam-alerts/put-role-policy.json")
    for spelled in (lambda name: name, lambda name: name[0].lower() + name[1:]):
        event["detail"]["responseElements"] = {"x": {spelled(name): f"hush-{name}" for name in secret}}
        outcome, [mail] = mailer.invoke(event)
        assert "hush-" not in mail["Message"] and "hush-" not in "".join(outcome.log)


def test_a_call_that_is_left_out_is_not_mailed_and_a_dry_run_mails_nothing(aws, binary):
    event = events.load("iam-alerts/tag-role.json")
    for settings, expected in (({"EXCLUDE_EVENT_NAMES": "TagRole"}, "Excluded"), ({"DRY_RUN": "true"}, "Planned")):
        with Mailer(aws, binary("iam-alert-mail"), **settings) as mailer:
            outcome, mails = mailer.invoke(event)
        assert (outcome.payload[0]["outcome"], mails) == (expected, [])


def test_a_topic_that_takes_nothing_fails_the_invocation(aws, mailer):
    aws.disturb("refuse", service="sns", operation="Publish", code="AuthorizationError", times=None)
    outcome, mails = mailer.invoke(events.load("iam-alerts/denied.json"))
    assert (outcome.error_type, mails) == ("Notify", [])


def test_the_log_has_no_body_of_a_mail(mailer):
    outcome, _ = mailer.invoke(events.load("iam-alerts/put-role-policy.json"))
    assert "everything" not in "".join(outcome.log) and "PutRolePolicy" in "".join(outcome.log)


# The queue -----------------------------------------------------------------------------------------


class Published:
    """The mails of a topic, with the time at which each came."""

    def __init__(self, aws):
        self.mails, self.times = [], []
        aws.after = self._after

    def _after(self, made):
        if made.operation == "Publish" and made.error is None:
            self.mails.append(made.params)
            self.times.append(time.monotonic())

    def most_in_a_second(self):
        return max(sum(start <= it < start + 1 for it in self.times) for start in self.times)

    def lost(self, given):
        text = "".join(mail["Message"] for mail in self.mails)
        return [it["id"] for it in given if it["id"] not in text or it["detail"]["eventID"] not in text]


NUMBERS = itertools.count(1)


def burst(calls, identity, **fields):
    """Calls with ids of their own."""
    return [
        events.iam_event(name, identity, f"{next(NUMBERS):08x}-0000-4000-8000-000000000001", **fields) for name in calls
    ]


DENIED = {"errorCode": "AccessDenied", "errorMessage": "not authorized", "requestParameters": {"userName": "x"}}


def test_of_500_calls_in_a_second_none_is_lost_and_that_of_the_root_user_is_mailed_first(aws, binary):
    noise = [
        event
        for number in range(4)
        for event in burst(["CreateUser", "AttachUserPolicy"] * 62, events.iam_role("noisy", f"s-{number}"), **DENIED)
    ]
    [root] = burst(["CreateAccessKey"], events.load("iam-alerts/root-access-key.json")["detail"]["userIdentity"])
    changes = burst(["CreateUser", "AttachRolePolicy", "CreateUser"], events.iam_role("deploy", "ci"))
    given = [*noise[:300], changes[0], root, *noise[300:400], *changes[1:], *noise[400:]]
    assert len(given) == 500
    queue, published = AlertQueue(aws, pattern()), Published(aws)
    assert queue.put(*given) == 500
    with Mailer(aws, binary("iam-alert-mail")) as mailer:
        while queue.source.deliver(mailer.answer) is not None:
            pass
    assert queue.kept == 0 and published.lost(given) == []
    subjects = [mail["Subject"] for mail in published.mails]
    assert "CreateAccessKey by ROOT" in subjects[0]
    assert all(" by deploy/ci in " in subject for subject in subjects[1:4])
    assert len(subjects) == 12 and all("62 x " in subject and "FAILED" in subject for subject in subjects[4:])
    assert published.most_in_a_second() <= 5


def test_two_functions_together_mail_at_most_five_times_a_second(aws, binary):
    given = burst(["CreateUser"] * 24, events.iam_role("deploy", "ci"))
    queue, published = AlertQueue(aws, pattern(), batch_size=12), Published(aws)
    queue.put(*given)

    def poll(mailer):
        while queue.source.deliver(mailer.answer) is not None:
            pass

    with Mailer(aws, binary("iam-alert-mail")) as one, Mailer(aws, binary("iam-alert-mail")) as other:
        threads = [threading.Thread(target=poll, args=[mailer]) for mailer in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
    assert queue.kept == 0 and published.lost(given) == [] and len(published.mails) == 24
    assert published.most_in_a_second() <= 6, "one that is late on its way counts with the next"
    assert 3.5 < published.times[-1] - published.times[0] < 12, "five a second together, and both mailed"


def test_a_mail_that_the_topic_does_not_take_keeps_its_calls_alone_in_the_queue(aws, binary, mailer):
    queue = AlertQueue(aws, pattern())
    changes = burst(["CreateUser", "DeleteUser"], events.iam_role("deploy", "ci"))
    denied = burst(["CreateUser"] * 3, events.iam_role("noisy", "s"), **DENIED)
    queue.put(*changes, *denied)
    aws.disturb("refuse", service="sns", operation="Publish", code="AuthorizationError", times=1)
    outcome, mails = mailer.deliver(queue)
    assert not outcome.failed and len(outcome.payload["batchItemFailures"]) == 1
    assert queue.kept == 1 and len(mails) == 2
    assert any('"errorType":"Notify"' in line for line in outcome.log)
    assert any('"Failed":1' in line.replace(": ", ":") for line in outcome.log)


def test_a_dry_run_of_a_batch_mails_nothing_and_keeps_nothing(aws, binary):
    queue = AlertQueue(aws, pattern())
    queue.put(*burst(["CreateUser"] * 3, events.iam_role("noisy", "s"), **DENIED))
    with Mailer(aws, binary("iam-alert-mail"), DRY_RUN="true") as mailer:
        outcome, mails = mailer.deliver(queue)
    assert (outcome.payload, mails, queue.kept) == ({"batchItemFailures": []}, [], 0)
    assert sum('"outcome":"Planned"' in line.replace("\\", "") for line in outcome.log) == 3
