//! The keys that sign links: the present one, and the previous one during a rotation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ami_approval::link::{Key, Token, TokenError};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use time::OffsetDateTime;

use crate::error::{Unavailable, next_of};

/// How long keys are used before they are read again.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);
/// How old keys must be to be read again for a token that none of them signed: forged tokens cost little, and a rotated
/// key is known within a minute.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// The keys, kept for a while.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<(String, bool)>,
    read: Mutex<Option<(Instant, Vec<Key>)>>,
}

impl Keys {
    /// The present key must exist, the previous one may be missing.
    pub(crate) fn new(present: String, previous: Option<String>) -> Self {
        let names = [Some((present, true)), previous.map(|name| (name, false))];
        Self { names: names.into_iter().flatten().collect(), read: Mutex::default() }
    }

    /// Reads a token.
    pub(crate) async fn verify(
        &self,
        ssm: &Client,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<Result<Token, TokenError>, Unavailable> {
        let verdict = Token::verify(token, &self.keys(ssm, TIME_TO_LIVE).await?, now);
        if verdict == Err(TokenError::Forged) {
            return Ok(Token::verify(token, &self.keys(ssm, LEAST_AGE).await?, now));
        }
        Ok(verdict)
    }

    /// The keys, at most of this age.
    async fn keys(&self, ssm: &Client, age: Duration) -> Result<Vec<Key>, Unavailable> {
        if let Some((at, keys)) = &*self.read.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < age
        {
            return Ok(keys.clone());
        }
        let mut keys = Vec::new();
        for (name, required) in &self.names {
            keys.extend(read(ssm, name, *required).await?);
        }
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), keys.clone()));
        Ok(keys)
    }
}

async fn read(ssm: &Client, name: &str, required: bool) -> Result<Option<Key>, Unavailable> {
    let unavailable = |next, source| Unavailable::Key { parameter: name.to_owned(), next, source };
    match ssm.get_parameter().name(name).with_decryption(true).send().await {
        Ok(answer) => {
            let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
            Key::from_base64(&value)
                .map(Some)
                .map_err(|error| unavailable("no link works until it is right", error.into()))
        }
        Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => {
            if required {
                let next =
                    "ami-approval-request makes it when it sends the first link; compare LINK_KEY_PARAMETER of both";
                return Err(unavailable(next, error.into()));
            }
            Ok(None)
        }
        Err(error) => Err(unavailable(next_of(error.code()), error.into())),
    }
}
