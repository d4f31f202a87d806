//! Entry point: read settings, build clients, hand over.

use aws_config::BehaviorVersion;
use gatehouse_shared::env::Env;
use gatehouse_shared::log;
use lambda_runtime::{LambdaEvent, run, service_fn};
use pipeline_health_gate::Gate;
use pipeline_health_gate::endpoint::Dns;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, false);
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let gate = Gate::new(&env, &sdk, Dns);
    run(service_fn(|event: LambdaEvent<Value>| gate.handle(event))).await
}
