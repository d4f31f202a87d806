//! The example's payment and reporting functions: one program, deployed twice, that logs the messages it receives.
//!
//! The log shows what a subscriber sees of an expense report: the payment function all of it, the reporting function a
//! message in which card numbers and employee numbers are masked.
//!
//! No other function of the suite logs what a message says. Use real data with care: the log group keeps it.

pub mod config;
pub mod error;
pub mod received;

use gatehouse_shared::failure::all_or_first;
use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::sns::{Channel, Envelope, Verifier, envelopes_of_lambda_event};
use gatehouse_shared::{clock, log};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

use crate::config::Config;
use crate::error::Error;
use crate::received::Received;

pub struct ExpenseSubscriber {
    config: Config,
    verifier: Verifier,
}

impl ExpenseSubscriber {
    #[must_use]
    pub fn new(config: Config, verifier: Verifier) -> Self {
        Self { config, verifier }
    }

    /// Logs the messages of one invocation, and gives them back. SNS puts one into each.
    ///
    /// # Errors
    ///
    /// The first failure, after everything else was logged.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<Received>, Error> {
        let LambdaEvent { mut payload, context } = invocation;
        let mut received = Vec::new();
        let mut failures = Vec::new();
        match envelopes_of_lambda_event(&payload) {
            Err(error) => failures.push(error.into()),
            Ok(envelopes) => {
                for (index, envelope) in envelopes.into_iter().enumerate() {
                    let attributes = payload["Records"][index]["Sns"]["MessageAttributes"].take();
                    match self.receive(envelope, attributes).await {
                        Ok(message) => received.push(message),
                        Err(error) => failures.push(error),
                    }
                }
            }
        }
        Metrics::of(&context.env_config.function_name, clock::now())
            .count("Received", received.len())
            .count("Failed", failures.len())
            .emit();
        all_or_first(received, failures)
    }

    async fn receive(&self, envelope: Envelope, attributes: Value) -> Result<Received, Error> {
        let message = self.verifier.verify(envelope, Channel::Lambda, clock::now()).await?;
        let attributes = if attributes.is_null() { json!({}) } else { attributes };
        let received = Received::new(&self.config.subscriber, &message, attributes);
        log::report(&received);
        Ok(received)
    }
}
