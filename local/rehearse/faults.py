"""What LocalStack 4.14 does otherwise than AWS. What is named here does not fail the rehearsal; all else does.

The rehearsal prints those that it met.
"""

# Types that LocalStack only writes down: they are in the stack, and no service knows them.
PLACEHOLDERS: dict[str, str] = {
    "AWS::ApiGatewayV2::Api": "HTTP APIs are not in it: the approval page has no address",
    "AWS::ApiGatewayV2::Stage": "HTTP APIs are not in it",
    "AWS::CloudTrail::Trail": "CloudTrail is not in it: no call is recorded",
    "AWS::CodeStarNotifications::NotificationRule": "CodeStar Notifications is not in it: a pipeline notifies nobody",
    "AWS::SSM::Document": "runbooks and their names are not in it: the local AWS plays Automation with the template's",
}

# What a service of LocalStack says otherwise than the template, by type and by property or error.
FAULTS: dict[tuple[str, str], str] = {
    ("AWS::Lambda::Function", "ReservedConcurrentExecutions"): "is not set from a template",
    (
        "AWS::Lambda::Function",
        "variable APPROVAL_PAGE_URL",
    ): "addresses of API Gateway are replaced by LocalStack's own",
    ("AWS::Logs::LogGroup", "RetentionInDays"): "is not set from a template",
    ("AWS::S3::Bucket", "ClientError"): "LifecycleConfiguration is not set from a template",
}

# Logs of a function are in a group of this name, whatever LoggingConfig says; nothing deletes it.
LOG_GROUPS = "/aws/lambda/"

# What no run of it can show.
NOT_SHOWN = (
    "IAM: no right, trust or condition is checked, so a missing permission is not seen",
    "Rules, AllowedPattern and AllowedValues: judged by the expansion before the deployment instead",
    "circular references, unknown properties, what Lambda checks of a role when it makes a function",
    "AWS Health, CodePipeline and Automation themselves: the local AWS answers for them",
    "EC2's quota of 60 rules for each family: LocalStack counts both together, so groups are filled with 51 ranges",
    "the sharing of snapshots and watermarks (ShareSnapshots, ApprovedWatermark): EC2 of LocalStack has neither",
    "SNS's signatures: LocalStack signs with a key of its own, which the functions refuse unless SnsVerify=off",
    "`sam delete` of the suite: it takes nested templates at AWS's addresses only, so CloudFormation deletes the stack",
    "SNS's own data protection (NativeDataProtection) and example-pipeline.yaml: LocalStack cannot make them",
)
