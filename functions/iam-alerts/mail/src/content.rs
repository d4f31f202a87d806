//! What a record carries, fit for a mail: without secrets, with documents that can be read.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Stands for a secret.
pub(crate) const LEFT_OUT: &str = "(left out of this mail: a secret)";

/// Fields that hold a secret, in lower case. CloudTrail leaves them out or writes `HIDDEN_DUE_TO_SECURITY_REASONS`; a
/// mail goes further than a trail, so it does not rely on that. Ids of access keys are no secrets.
///
/// Source: the members that the model of IAM marks as sensitive; codes of MFA devices and session tokens besides.
const SECRETS: [&str; 13] = [
    "addprivatekey",
    "authenticationcode1",
    "authenticationcode2",
    "base32stringseed",
    "newpassword",
    "oldpassword",
    "password",
    "privatekey",
    "qrcodepng",
    "secretaccesskey",
    "servicecredentialsecret",
    "servicepassword",
    "sessiontoken",
];

/// The value without secrets, and with documents of JSON in place of the texts that hold them: a policy is written as a
/// text of JSON in a request, and percent-encoded in an answer.
#[must_use]
pub fn readable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let value = if is_secret(name) && !value.is_null() { LEFT_OUT.into() } else { readable(value) };
                    (name.clone(), value)
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(readable).collect(),
        Value::String(text) => document(text).map_or_else(|| value.clone(), |document| readable(&document)),
        other => other.clone(),
    }
}

pub(crate) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name.to_ascii_lowercase().as_str())
}

/// The document of JSON that a text holds.
pub(crate) fn document(text: &str) -> Option<Value> {
    let parse = |text: &str| {
        let is_document = text.trim_start().starts_with(['{', '[']);
        serde_json::from_str::<Value>(text).ok().filter(|_| is_document)
    };
    parse(text).or_else(|| {
        let encoded = text.starts_with("%7B") || text.starts_with("%5B");
        encoded.then(|| percent_decode_str(text).decode_utf8().ok()).flatten().and_then(|text| parse(&text))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_shown_as_a_document_however_it_is_written() {
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow" }] });
        let encoded =
            "%7B%22Version%22%3A%20%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%7D%5D%7D";
        let found = readable(&json!({ "policyDocument": policy.to_string(), "role": { "document": encoded } }));
        assert_eq!(found, json!({ "policyDocument": policy, "role": { "document": policy } }));
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in ["Bob", "{", "[x", "%7Bx", "%7B%FF", "100%", "123", "true", "", "{\"a\":1} and more"] {
            assert_eq!(readable(&json!([text])), json!([text]));
        }
    }

    #[test]
    fn secrets_are_left_out_wherever_they_are() {
        let found = readable(&json!({
            "accessKey": { "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI" },
            "list": [{ "password": "hunter2", "sessionToken": 7, "passwordResetRequired": true }],
            "text": "{\"privateKey\":\"-----BEGIN\"}",
            "newPassword": null,
        }));
        assert_eq!(
            found,
            json!({
                "accessKey": { "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": LEFT_OUT },
                "list": [{ "password": LEFT_OUT, "sessionToken": LEFT_OUT, "passwordResetRequired": true }],
                "text": { "privateKey": LEFT_OUT },
                "newPassword": null,
            })
        );
    }
}
