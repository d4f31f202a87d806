//! The parameter that names the newest shared image of a Region, and the end of the image that it named before.

use std::time::Duration;

use ami_approval::image::{BuildArn, ImageRef};
use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::Image;
use aws_sdk_ssm::types::{Parameter, ParameterType};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clients::Clients;
use crate::error::call;
use crate::plan::Facts;
use crate::read;
use crate::report::{Latest, LatestOutcome};
use crate::time_left::TimeLeft;

/// Systems Manager checks the id of an image after it has answered, and drops the value where it is wrong.
const DATA_TYPE: &str = "aws:ec2:image";
/// How often the new value is looked for.
const LOOKS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(300);

/// What is to be written, and about which images.
pub(crate) struct LatestRequest<'a> {
    /// The image that was shared.
    pub(crate) image: &'a ImageRef,
    /// What it is.
    pub(crate) facts: &'a Facts,
    /// The build that it comes from.
    pub(crate) build: Option<&'a BuildArn>,
    /// The name of the parameter.
    pub(crate) parameter: String,
    /// All images of this invocation: none of them is deprecated.
    pub(crate) shared: &'a [ImageRef],
    /// After how many days the previous image is deprecated.
    pub(crate) deprecate_after_days: Option<i64>,
    pub(crate) now: OffsetDateTime,
    pub(crate) time: TimeLeft,
    pub(crate) dry_run: bool,
}

/// Writes the parameter, unless it names this image or a newer one, then deprecates the image that it named before.
pub(crate) async fn write(clients: &Clients, request: &LatestRequest<'_>) -> Result<Latest, String> {
    let LatestRequest { image, parameter, .. } = request;
    let stored = stored(clients, parameter).await?;
    let report = |outcome, previous: Option<&str>| Latest {
        parameter: parameter.clone(),
        outcome,
        previous: previous.map(str::to_owned),
        previous_deprecated_at: None,
    };
    let value = stored.as_ref().and_then(Parameter::value);
    if value == Some(image.ami_id.as_str()) {
        let mut latest = report(LatestOutcome::Unchanged, None);
        // An earlier run may have ended before it deprecated the image before.
        if let Some(previous) = before(clients, parameter, stored.as_ref()).await? {
            latest.previous_deprecated_at = deprecate(clients, request, &previous).await?;
            latest.previous = Some(previous);
        }
        return Ok(latest);
    }
    if let Some(stored) = &stored
        && stored.data_type().is_some_and(|data_type| data_type != DATA_TYPE)
    {
        return Err(format!(
            "the parameter {parameter} has the data type {}: expected {DATA_TYPE}, which can only be set when it is made. \
             Delete it, then run this again",
            stored.data_type().unwrap_or_default()
        ));
    }
    let previous = match value {
        Some(value) => read::image(clients, value).await?,
        None => None,
    };
    if previous.as_ref().is_some_and(|previous| is_newer(previous, request.facts)) {
        return Ok(report(LatestOutcome::Newer, value));
    }
    if request.dry_run {
        return Ok(report(LatestOutcome::Planned, value));
    }
    request.time.check()?;
    let version = put(clients, image.ami_id.as_str(), parameter).await?;
    if let Some(newer) = written_meanwhile(clients, request, stored.as_ref(), version).await? {
        put(clients, &newer, parameter).await?;
        tracing::info!(%image, parameter, newer, "another run wrote a newer image meanwhile: it is written again");
        return Ok(report(LatestOutcome::Newer, Some(&newer)));
    }
    wait(clients, request).await?;
    tracing::info!(%image, parameter, "wrote the parameter");
    let mut latest = report(LatestOutcome::Written, value);
    if let Some(previous) = value {
        latest.previous_deprecated_at = deprecate(clients, request, previous).await?;
    }
    Ok(latest)
}

/// Approvals may be given in another order than builds: the parameter never goes back.
fn is_newer(previous: &Image, facts: &Facts) -> bool {
    previous.creation_date().is_some_and(|created| created > facts.created.as_str())
}

async fn stored(clients: &Clients, name: &str) -> Result<Option<Parameter>, String> {
    match clients.ssm.get_parameter().name(name).send().await {
        Ok(answer) => Ok(answer.parameter),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => Ok(None),
        Err(error) => Err(call("GetParameter", &error)),
    }
}

/// The newer image that another run wrote between the reading of `stored` and this run's `version`, when two approvals are
/// given at once. Systems Manager cannot write on the condition of a version.
async fn written_meanwhile(
    clients: &Clients,
    request: &LatestRequest<'_>,
    stored: Option<&Parameter>,
    version: i64,
) -> Result<Option<String>, String> {
    if version <= stored.map_or(0, Parameter::version) + 1 {
        return Ok(None);
    }
    let Some(value) = in_version(clients, &request.parameter, version - 1).await? else { return Ok(None) };
    let image = read::image(clients, &value).await?;
    Ok(image.filter(|image| is_newer(image, request.facts)).map(|_| value))
}

/// The image in the version before the present one.
async fn before(clients: &Clients, name: &str, stored: Option<&Parameter>) -> Result<Option<String>, String> {
    match stored.map(Parameter::version).filter(|version| *version > 1) {
        Some(version) => in_version(clients, name, version - 1).await,
        None => Ok(None),
    }
}

/// The image in a version of the parameter; `None` where there is no such version any more.
async fn in_version(clients: &Clients, name: &str, version: i64) -> Result<Option<String>, String> {
    match clients.ssm.get_parameter().name(format!("{name}:{version}")).send().await {
        Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
        // Systems Manager keeps the last 100 versions.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_parameter_version_not_found() || error.is_parameter_not_found()) =>
        {
            Ok(None)
        }
        Err(error) => Err(call("GetParameter", &error)),
    }
}

/// Writes the id of an image. Gives the version.
async fn put(clients: &Clients, ami_id: &str, name: &str) -> Result<i64, String> {
    let request = clients
        .ssm
        .put_parameter()
        .name(name)
        .value(ami_id)
        .r#type(ParameterType::String)
        .data_type(DATA_TYPE)
        .overwrite(true);
    let answer = request.send().await.map_err(|error| call("PutParameter", &error))?;
    Ok(answer.version())
}

/// Waits until the parameter has its value.
async fn wait(clients: &Clients, request: &LatestRequest<'_>) -> Result<(), String> {
    let LatestRequest { image, parameter, time, .. } = request;
    for look in 0..LOOKS {
        if look > 0 {
            time.check()?;
            tokio::time::sleep(PAUSE * look).await;
        }
        let stored = stored(clients, parameter).await?;
        if stored.as_ref().and_then(Parameter::value) == Some(image.ami_id.as_str()) {
            return Ok(());
        }
    }
    Err(format!(
        "PutParameter: Systems Manager took {image} for the parameter {parameter} and does not show it. It checks the image \
         afterwards, for which the function's role needs ec2:DescribeImages. Run it again"
    ))
}

/// Deprecates the previous image, unless it is one of those just shared, of another account, of another name in Image
/// Builder, gone, or deprecated already.
/// Gives the time where it was set now.
async fn deprecate(clients: &Clients, request: &LatestRequest<'_>, previous: &str) -> Result<Option<String>, String> {
    let Some(days) = request.deprecate_after_days else { return Ok(None) };
    if request.shared.iter().any(|image| image.region == request.image.region && image.ami_id.as_str() == previous) {
        return Ok(None);
    }
    let Some(image) = read::image(clients, previous).await? else { return Ok(None) };
    if image.owner_id() != Some(&request.facts.owner) || image.deprecation_time().is_some() {
        return Ok(None);
    }
    // Where several pipelines write one parameter, it named the image of another one.
    let name = |build: Option<&BuildArn>| build.map(|build| build.name().to_owned());
    if name(read::build(&image).as_ref()).is_none_or(|previous| name(request.build) != Some(previous)) {
        return Ok(None);
    }
    // A newer image is no previous one, whatever the parameter named.
    if is_newer(&image, request.facts) || request.dry_run {
        return Ok(None);
    }
    request.time.check()?;
    // EC2 rounds to the minute.
    let at = request.now + time::Duration::days(days);
    let at = at.replace_second(0).and_then(|at| at.replace_nanosecond(0)).unwrap_or(at) + time::Duration::MINUTE;
    let sent = clients
        .ec2
        .enable_image_deprecation()
        .image_id(previous)
        .deprecate_at(DateTime::from_secs(at.unix_timestamp()))
        .send()
        .await;
    sent.map_err(|error| call("EnableImageDeprecation", &error))?;
    tracing::info!(image = previous, %at, "deprecated the previous image");
    Ok(Some(at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())))
}
