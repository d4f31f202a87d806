//! Message attributes, as Lambda's event has them. SNS does not sign them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::error::Error;
use data_protection::{Attribute, AttributeValue};

/// The attributes of a record of the event.
pub(crate) fn attributes_of(event: &Value, record: usize) -> Result<Vec<Attribute>, Error> {
    let fault = |expected| Error::Attributes { record, expected };
    match &event["Records"][record]["Sns"]["MessageAttributes"] {
        Value::Null => Ok(Vec::new()),
        Value::Object(attributes) => attributes
            .iter()
            .map(|(name, attribute)| {
                let field = |name: &str| attribute[name].as_str().map(str::to_owned);
                let data_type = field("Type").ok_or_else(|| fault("a Type for each attribute"))?;
                let text = field("Value").ok_or_else(|| fault("a Value for each attribute"))?;
                let value = if data_type.starts_with("Binary") {
                    let bytes = BASE64_STANDARD.decode(text).map_err(|_| fault("base64 for the type Binary"))?;
                    AttributeValue::Binary(bytes)
                } else {
                    AttributeValue::Text(text)
                };
                Ok(Attribute { name: name.clone(), data_type, value })
            })
            .collect(),
        _ => Err(fault("an object")),
    }
}
