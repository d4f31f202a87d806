//! What the AWS SDK takes from the environment of a function, and no more.
//!
//! Lambda puts credentials and Region of a function into its environment, and nothing else has to be asked. The crate
//! `aws-config` would also look for profiles, containers, instances and STS: code that no function runs, but that each
//! would carry and each user would compile.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

pub use aws_smithy_types::retry::RetryConfig;
pub use aws_smithy_types::timeout::TimeoutConfig;
pub use aws_types::SdkConfig;
pub use aws_types::region::Region;

use crate::env::Env;

/// The configuration of every client, to which a function adds its time-outs.
///
/// | variable | what it sets |
/// |---|---|
/// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` | what Lambda sets |
/// | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SNS` and so on for each service | another endpoint, such as that of an emulator |
/// | `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT` | `true`: endpoints of that kind |
///
/// Sources: Lambda Developer Guide, "Defined runtime environment variables"; AWS SDKs and Tools Reference Guide,
/// "Service-specific endpoints", "Dual-stack and FIPS endpoints".
#[must_use]
pub fn config(env: &Env<'_>) -> Builder {
    let is_on = |name: &str| env.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(env.text("AWS_REGION").map(Region::new))
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"))
        .service_config(EndpointOfService);
    builder.set_endpoint_url(env.text("AWS_ENDPOINT_URL"));
    builder.set_credentials_provider(credentials(env).map(SharedCredentialsProvider::new));
    builder
}

fn credentials(env: &Env<'_>) -> Option<Credentials> {
    let (key, secret) = (env.text("AWS_ACCESS_KEY_ID"), env.text("AWS_SECRET_ACCESS_KEY"));
    let Some((key, secret)) = key.zip(secret) else {
        // Not in Lambda. Outside, the SDK's own error at the first call does not say what to do.
        tracing::warn!(
            "no credentials in the environment, so every call of AWS will fail: set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, with `aws configure export-credentials --format env`, say"
        );
        return None;
    };
    Some(Credentials::new(key, secret, env.text("AWS_SESSION_TOKEN"), None, "the environment"))
}

/// A setting of one service, which the SDK asks for when a client is made.
#[derive(Debug)]
struct EndpointOfService;

impl LoadServiceConfig for EndpointOfService {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        Env::of_process().text(&variable(key.env(), key.service_id()))
    }
}

/// `AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2`, say.
fn variable(setting: &str, service_id: &str) -> String {
    format!("{setting}_{}", service_id.replace([' ', '-'], "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::ProvideCredentials;

    use super::*;

    const OF_LAMBDA: [(&str, &str); 4] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ];

    fn with(more: &[(&str, &str)]) -> SdkConfig {
        let table: Vec<_> = OF_LAMBDA.iter().chain(more).copied().collect();
        config(&Env::of_table(&table)).build()
    }

    #[tokio::test]
    async fn what_lambda_sets_is_all_that_is_needed() {
        let sdk = with(&[]);
        assert_eq!(sdk.region().map(Region::as_ref), Some("eu-west-1"));
        let credentials = sdk.credentials_provider().unwrap();
        let credentials = credentials.provide_credentials().await.unwrap();
        assert_eq!(
            (credentials.access_key_id(), credentials.secret_access_key(), credentials.session_token()),
            ("ASIAEXAMPLE", "secret", Some("token"))
        );
        assert_eq!((sdk.endpoint_url(), sdk.use_fips(), sdk.use_dual_stack()), (None, Some(false), Some(false)));
    }

    #[test]
    fn an_endpoint_and_its_kind_are_taken_from_the_environment() {
        let sdk = with(&[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
            ("AWS_USE_FIPS_ENDPOINT", "True"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ]);
        assert_eq!(sdk.endpoint_url(), Some("http://127.0.0.1:4566"));
        assert_eq!((sdk.use_fips(), sdk.use_dual_stack()), (Some(true), Some(true)));
    }

    #[test]
    fn without_credentials_there_is_no_provider_of_them() {
        assert!(config(&Env::of_table(&OF_LAMBDA[..2])).build().credentials_provider().is_none());
    }

    /// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints", column of environment variables.
    #[test]
    fn the_variables_of_services_have_the_names_that_aws_lists() {
        for (service_id, expected) in [
            ("SNS", "AWS_ENDPOINT_URL_SNS"),
            ("CodePipeline", "AWS_ENDPOINT_URL_CODEPIPELINE"),
            ("Elastic Load Balancing v2", "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2"),
        ] {
            assert_eq!(variable("AWS_ENDPOINT_URL", service_id), expected);
        }
    }
}
