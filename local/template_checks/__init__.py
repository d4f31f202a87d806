"""What the checks of the templates know: CloudFormation's functions, IAM's statements, the Rust sources."""

SUITE = "template.yaml"
IP_RANGES = "functions/ip-ranges/template.yaml"
PIPELINES = "functions/pipelines/template.yaml"
EXAMPLE = "functions/pipelines/example-pipeline.yaml"
EXAMPLE_APP = "functions/pipelines/example-app/app.yaml"

# Template, logical name of the function, folder of its crate.
FUNCTIONS = [
    (IP_RANGES, "IpRangesUpdaterFunction", "functions/ip-ranges/updater"),
    (PIPELINES, "PipelineHealthGateFunction", "functions/pipelines/health-gate"),
    (PIPELINES, "PipelineRetryFunction", "functions/pipelines/retry"),
]
