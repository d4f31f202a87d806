//! Pages of the AWS console.

use lambda_runtime::Context;

use crate::arn::Arn;
use crate::region::Region;

/// The URL of a page in the console of a Region; `None` for partitions whose console is not known here.
///
/// ```
/// use gatehouse_shared::console;
///
/// let region = "eu-west-1".parse().unwrap();
/// let url = console::url(&region, "/cloudwatch/home?region=eu-west-1").unwrap();
/// assert_eq!(url, "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1");
/// assert_eq!(console::url(&"us-iso-east-1".parse().unwrap(), "/"), None);
/// ```
#[must_use]
pub fn url(region: &Region, path: &str) -> Option<String> {
    let suffix = match region.partition() {
        "aws" => "aws.amazon.com",
        "aws-cn" => "amazonaws.cn",
        "aws-us-gov" => "amazonaws-us-gov.com",
        "aws-eusc" => "amazonaws-eusc.eu",
        _ => return None,
    };
    Some(format!("https://{region}.console.{suffix}{path}"))
}

/// The page of a log group. The console writes `%` as `$25` in it.
///
/// ```
/// use gatehouse_shared::console;
///
/// let url = console::log_group(&"eu-west-1".parse().unwrap(), "/aws/lambda/gate").unwrap();
/// assert!(url.ends_with("?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fgate"), "{url}");
/// ```
#[must_use]
pub fn log_group(region: &Region, name: &str) -> Option<String> {
    let name = name.replace('/', "$252F");
    url(region, &format!("/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{name}"))
}

/// The page of the log of a function that runs.
#[must_use]
pub fn own_log(context: &Context) -> Option<String> {
    let region = Arn::parse(&context.invoked_function_arn)?.region.parse().ok()?;
    log_group(&region, Some(context.env_config.log_group.as_str()).filter(|name| !name.is_empty())?)
}

/// The page of an execution of a pipeline.
#[must_use]
pub fn pipeline_execution(region: &Region, pipeline: &str, execution_id: &str) -> Option<String> {
    let page = format!("/codesuite/codepipeline/pipelines/{pipeline}/executions/{execution_id}/timeline");
    url(region, &format!("{page}?region={region}"))
}

/// The page of an Automation execution.
#[must_use]
pub fn automation_execution(region: &Region, execution_id: &str) -> Option<String> {
    url(region, &format!("/systems-manager/automation/execution/{execution_id}?region={region}"))
}
