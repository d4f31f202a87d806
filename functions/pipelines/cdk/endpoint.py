"""The application that the pipelines deploy: a function that answers over HTTPS. It stands for yours."""

from aws_cdk import CfnOutput, Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CODE = """
import json


def handler(event, context):
    if event["rawPath"] not in ("/", "/health"):
        return {"statusCode": 404, "body": "not found"}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps({"status": "ok"})}
"""

CURL = "curl --fail --silent --show-error --retry 5 --retry-all-errors --max-time 10"

# Two tests of an endpoint: it answers, and it is healthy. `$URL` ends with a slash.
TESTS = {
    "TestAnswers": [f'{CURL} "$URL"'],
    "TestHealthy": [f'{CURL} "${{URL}}health" | grep \'"status": "ok"\''],
}


class Endpoint(Stack):
    """A function with a URL."""

    def __init__(self, scope: Construct, name: str, **options):
        super().__init__(scope, name, **options)
        function = lambda_.Function(
            self,
            "Function",
            description="Answers that it is healthy.",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
        )
        url = function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
        self.url = CfnOutput(self, "Url", value=url.url)


class EndpointStage(Stage):
    """The application, once."""

    def __init__(self, scope: Construct, name: str, **options):
        super().__init__(scope, name, **options)
        self.url = Endpoint(self, "Endpoint").url
