//! Who called, in words.

use crate::record::{UserIdentity, is_true};

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For the subject, such as `Alice` or `ROOT`.
    pub short: String,
    /// For the text, such as `the IAM user Alice`.
    pub long: String,
    /// Whether it is the root user of the account.
    pub is_root: bool,
}

impl Principal {
    /// Who the record says that it was.
    #[must_use]
    pub fn of(identity: Option<&UserIdentity>) -> Self {
        let Some(identity) = identity else { return Self::unknown() };
        let session = identity.session_context.as_ref();
        let issuer = session.and_then(|session| session.session_issuer.as_ref());
        let name = identity.user_name.as_deref();
        match identity.r#type.as_deref() {
            Some("Root") => Self::root(is_true(session.and_then(|session| session.assumed_root.as_ref()))),
            Some("IAMUser") => {
                let name = name.or_else(|| last_part(identity.arn.as_deref()?)).unwrap_or("unknown");
                Self::named(name.to_owned(), format!("the IAM user {name}"))
            }
            Some("AssumedRole") => {
                let session = identity.principal_id.as_deref().and_then(|id| Some(id.split_once(':')?.1));
                let session = session.or_else(|| last_part(identity.arn.as_deref()?)).unwrap_or("unknown");
                let role = issuer.and_then(|issuer| issuer.user_name.as_deref());
                let role = role.or_else(|| role_of_session(identity.arn.as_deref()?)).unwrap_or("unknown");
                Self::role(role, session)
            }
            Some("FederatedUser") => {
                let name = identity.arn.as_deref().and_then(last_part).unwrap_or("unknown");
                let of = issuer.and_then(|issuer| issuer.user_name.as_deref());
                let of =
                    of.map(|of| format!(", with credentials that the IAM user {of} asked for")).unwrap_or_default();
                Self::named(name.to_owned(), format!("the federated user {name}{of}"))
            }
            Some("SAMLUser" | "WebIdentityUser") => {
                let name = name.unwrap_or("unknown");
                let provider = identity.identity_provider.as_deref().unwrap_or("an unknown identity provider");
                Self::named(name.to_owned(), format!("the user {name} of {provider}"))
            }
            Some("AWSService") => Self::service(identity.invoked_by.as_deref()),
            Some("AWSAccount") => {
                let account = identity.account_id.as_deref().unwrap_or("unknown");
                Self::named(format!("account {account}"), format!("a principal of the account {account}"))
            }
            kind => Self::other(kind, identity),
        }
    }

    fn root(assumed: bool) -> Self {
        let long = if assumed { "the ROOT USER, in a session of AssumeRoot" } else { "the ROOT USER" };
        Self { short: "ROOT".to_owned(), long: long.to_owned(), is_root: true }
    }

    /// IAM Identity Center names its roles `AWSReservedSSO_<permission set>_<16 hexadecimal digits>` and the session after
    /// the person.
    fn role(role: &str, session: &str) -> Self {
        let permission_set = role.strip_prefix("AWSReservedSSO_").and_then(|rest| rest.rsplit_once('_'));
        match permission_set {
            Some((set, _)) => Self::named(
                format!("{session} ({set})"),
                format!("{session} (IAM Identity Center, permission set {set})"),
            ),
            None => Self::named(format!("{role}/{session}"), format!("the role {role} in the session named {session}")),
        }
    }

    fn service(invoked_by: Option<&str>) -> Self {
        let service = invoked_by.unwrap_or("AWS Internal");
        Self::named(service.to_owned(), format!("the AWS service {service}"))
    }

    /// A type that CloudTrail has today and IAM does not see, one of tomorrow, or none.
    fn other(kind: Option<&str>, identity: &UserIdentity) -> Self {
        let known = [&identity.user_name, &identity.arn, &identity.principal_id];
        let known = known.into_iter().flatten().next();
        match (kind, known) {
            (Some(kind), Some(known)) => Self::named(known.clone(), format!("{known} ({kind})")),
            (None, Some(known)) => Self::named(known.clone(), known.clone()),
            (_, None) if identity.invoked_by.is_some() => Self::service(identity.invoked_by.as_deref()),
            (Some(kind), None) => Self::named(kind.to_owned(), format!("an identity of the type {kind}")),
            (None, None) => Self::unknown(),
        }
    }

    fn unknown() -> Self {
        Self::named("an unknown identity".to_owned(), "an identity that the record does not name".to_owned())
    }

    fn named(short: String, long: String) -> Self {
        Self { short, long, is_root: false }
    }
}

fn last_part(arn: &str) -> Option<&str> {
    arn.rsplit_once('/').map(|(_, last)| last)
}

/// `arn:aws:sts::<account>:assumed-role/<role>/<session>`
fn role_of_session(arn: &str) -> Option<&str> {
    arn.split_once(":assumed-role/")?.1.split('/').next()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn principal(identity: &Value) -> (String, String) {
        let principal = Principal::of(Some(&serde_json::from_value(identity.clone()).unwrap()));
        (principal.short, principal.long)
    }

    #[test]
    fn each_type_of_identity_is_named() {
        let session = json!({ "sessionIssuer": { "userName": "deploy", "arn": "arn:aws:iam::1:role/deploy" } });
        let center = json!({ "sessionIssuer": { "userName": "AWSReservedSSO_Power_Users_0123456789abcdef" } });
        let cases: [(Value, &str, &str); 14] = [
            (json!({ "type": "Root", "arn": "arn:aws:iam::1:root" }), "ROOT", "the ROOT USER"),
            (
                json!({ "type": "Root", "sessionContext": { "assumedRoot": "true" } }),
                "ROOT",
                "the ROOT USER, in a session of AssumeRoot",
            ),
            (json!({ "type": "IAMUser", "userName": "Alice" }), "Alice", "the IAM user Alice"),
            (json!({ "type": "IAMUser", "arn": "arn:aws:iam::1:user/team/Bob" }), "Bob", "the IAM user Bob"),
            (
                json!({ "type": "AssumedRole", "principalId": "AROA:ci-7", "sessionContext": session }),
                "deploy/ci-7",
                "the role deploy in the session named ci-7",
            ),
            // Without its issuer, the role is in the ARN.
            (
                json!({ "type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/deploy/ci-7" }),
                "deploy/ci-7",
                "the role deploy in the session named ci-7",
            ),
            (
                json!({ "type": "AssumedRole", "principalId": "AROA:Ana", "sessionContext": center }),
                "Ana (Power_Users)",
                "Ana (IAM Identity Center, permission set Power_Users)",
            ),
            (
                json!({ "type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/guest",
                        "sessionContext": { "sessionIssuer": { "userName": "broker" } } }),
                "guest",
                "the federated user guest, with credentials that the IAM user broker asked for",
            ),
            (
                json!({ "type": "SAMLUser", "userName": "Ana", "identityProvider": "idp=" }),
                "Ana",
                "the user Ana of idp=",
            ),
            (
                json!({ "type": "AWSService", "invokedBy": "sso.amazonaws.com" }),
                "sso.amazonaws.com",
                "the AWS service sso.amazonaws.com",
            ),
            (
                json!({ "type": "AWSAccount", "accountId": "111122223333" }),
                "account 111122223333",
                "a principal of the account 111122223333",
            ),
            (json!({ "type": "IdentityCenterUser", "principalId": "9067-e" }), "9067-e", "9067-e (IdentityCenterUser)"),
            (
                json!({ "accountId": "1", "invokedBy": "secretsmanager.amazonaws.com" }),
                "secretsmanager.amazonaws.com",
                "the AWS service secretsmanager.amazonaws.com",
            ),
            (json!({}), "an unknown identity", "an identity that the record does not name"),
        ];
        for (identity, short, long) in cases {
            assert_eq!(principal(&identity), (short.to_owned(), long.to_owned()), "{identity}");
        }
        assert_eq!(Principal::of(None).short, "an unknown identity");
    }
}
