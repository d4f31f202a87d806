//! What a browser asked for.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use url::form_urlencoded;

/// The longest body that is read.
const MAX_BODY_LENGTH: usize = 8 * 1024;
/// The longest name of an approver, in characters.
pub const MAX_NAME_LENGTH: usize = 64;
/// The longest comment, in characters. With the name it fits into the 512 that Systems Manager takes.
pub const MAX_COMMENT_LENGTH: usize = 400;

/// A request, with what the log says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Whether only the headers are wanted (`HEAD`).
    pub head: bool,
    /// Where it came from.
    pub source_ip: Option<String>,
    /// What is wanted, or why it is refused.
    pub action: Result<Action, Rejection>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To see the page. Changes nothing.
    Show {
        /// The token of the link.
        token: String,
    },
    /// To decide.
    Decide {
        /// The token of the link.
        token: String,
        /// Approve or reject.
        decision: ApproverDecision,
        /// Who decides, as that person says.
        name: String,
        /// Why.
        comment: String,
    },
}

/// Approve or reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApproverDecision {
    /// Share the image.
    Approve,
    /// Do not share it.
    Reject,
}

/// Why a request is refused before anything is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// There is one page, `/approval`.
    NotFound,
    /// The page has `GET`, `HEAD` and `POST`.
    MethodNotAllowed,
    /// The body is longer than the form can make it.
    TooLarge,
    /// The link has no token.
    NoToken,
    /// The form says something else than approve or reject.
    NoDecision,
    /// The form has no name.
    NoName,
    /// Name or comment are longer than the form allows.
    TooLong,
    /// The body is not that of a form.
    NoForm,
}

impl PageRequest {
    /// Reads the event of an HTTP API.
    ///
    /// # Errors
    ///
    /// When the event has another form.
    pub fn parse(event: Value) -> Result<Self, serde_json::Error> {
        let request: ApiGatewayV2httpRequest = serde_json::from_value(event)?;
        let http = &request.request_context.http;
        Ok(Self { head: http.method.as_str() == "HEAD", source_ip: http.source_ip.clone(), action: action(&request) })
    }
}

fn action(request: &ApiGatewayV2httpRequest) -> Result<Action, Rejection> {
    // A stage or the mapping of a custom domain may stand before it.
    let path = request.raw_path.as_deref().unwrap_or_default();
    if !path.ends_with("/approval") {
        return Err(Rejection::NotFound);
    }
    match request.request_context.http.method.as_str() {
        "GET" | "HEAD" => {
            let query = Fields::of(request.raw_query_string.as_deref().unwrap_or_default().as_bytes());
            Ok(Action::Show { token: query.one("token").ok_or(Rejection::NoToken)? })
        }
        "POST" => decide(request),
        _ => Err(Rejection::MethodNotAllowed),
    }
}

fn decide(request: &ApiGatewayV2httpRequest) -> Result<Action, Rejection> {
    let body = request.body.as_deref().unwrap_or_default();
    if body.len() > MAX_BODY_LENGTH * 4 / 3 + 4 {
        return Err(Rejection::TooLarge);
    }
    let body = if request.is_base64_encoded {
        BASE64_STANDARD.decode(body).map_err(|_| Rejection::NoForm)?
    } else {
        body.as_bytes().to_vec()
    };
    if body.len() > MAX_BODY_LENGTH {
        return Err(Rejection::TooLarge);
    }
    let form = Fields::of(&body);
    let token = form.one("token").ok_or(Rejection::NoToken)?;
    let decision = match form.one("decision").as_deref() {
        Some("approve") => ApproverDecision::Approve,
        Some("reject") => ApproverDecision::Reject,
        _ => return Err(Rejection::NoDecision),
    };
    let name = form.one("name").map(|name| name.trim().to_owned()).unwrap_or_default();
    let comment = form.one("comment").map(|comment| comment.trim().to_owned()).unwrap_or_default();
    if name.is_empty() {
        return Err(Rejection::NoName);
    }
    // A browser counts a line break as one character and sends two.
    let length = |text: &str| text.replace("\r\n", "\n").chars().count();
    if length(&name) > MAX_NAME_LENGTH || length(&comment) > MAX_COMMENT_LENGTH {
        return Err(Rejection::TooLong);
    }
    Ok(Action::Decide { token, decision, name, comment })
}

/// The fields of a query or a form.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value of a field that is there once. Of two, nobody can tell which one is meant.
    fn one(&self, name: &str) -> Option<String> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        values.next().filter(|value| !value.is_empty() && values.next().is_none()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatehouse_testkit::real;
    use serde_json::json;

    use super::*;

    fn event(method: &str, path: &str, query: &str, body: &str) -> Value {
        json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "requestContext": { "http": { "method": method, "path": path, "sourceIp": "192.0.2.1" } },
            "body": body,
            "isBase64Encoded": false,
        })
    }

    fn post(body: &str) -> Result<Action, Rejection> {
        PageRequest::parse(event("POST", "/approval", "", body)).unwrap().action
    }

    #[test]
    fn get_and_head_show_the_page() {
        for (method, head) in [("GET", false), ("HEAD", true)] {
            let request = PageRequest::parse(event(method, "/approval", "token=v1.x&utm=1", "")).unwrap();
            assert_eq!((request.head, request.source_ip.as_deref()), (head, Some("192.0.2.1")));
            assert_eq!(request.action, Ok(Action::Show { token: "v1.x".to_owned() }));
        }
        let staged = PageRequest::parse(event("GET", "/production/approval", "token=v1.x", "")).unwrap();
        assert!(staged.action.is_ok());
    }

    #[test]
    fn a_link_without_one_token_is_refused() {
        for query in ["", "token", "token=", "token=a&token=b", "Token=a"] {
            assert_eq!(
                PageRequest::parse(event("GET", "/approval", query, "token=a")).unwrap().action,
                Err(Rejection::NoToken),
                "{query}"
            );
        }
    }

    #[test]
    fn post_decides_by_its_body_alone() {
        let action = post("token=v1.x&decision=approve&name=Alice+%C3%84&comment=looks%20good%0D%0Agreat").unwrap();
        assert_eq!(
            action,
            Action::Decide {
                token: "v1.x".to_owned(),
                decision: ApproverDecision::Approve,
                name: "Alice Ä".to_owned(),
                comment: "looks good\r\ngreat".to_owned(),
            }
        );
        let by_query = event("POST", "/approval", "token=v1.x&decision=approve&name=a", "");
        assert_eq!(PageRequest::parse(by_query).unwrap().action, Err(Rejection::NoToken));
    }

    #[test]
    fn a_form_that_is_not_ours_is_refused() {
        let long = |length: usize| "x".repeat(length);
        for (body, rejection) in [
            (String::new(), Rejection::NoToken),
            ("decision=approve&name=a".to_owned(), Rejection::NoToken),
            ("token=t&name=a".to_owned(), Rejection::NoDecision),
            ("token=t&decision=Approve&name=a".to_owned(), Rejection::NoDecision),
            ("token=t&decision=approve&decision=reject&name=a".to_owned(), Rejection::NoDecision),
            ("token=t&decision=approve".to_owned(), Rejection::NoName),
            ("token=t&decision=approve&name=++".to_owned(), Rejection::NoName),
            (format!("token=t&decision=approve&name={}", long(65)), Rejection::TooLong),
            (format!("token=t&decision=approve&name=a&comment={}", long(401)), Rejection::TooLong),
            (format!("token=t&decision=approve&name=a&comment={}", long(8_200)), Rejection::TooLarge),
            (long(20_000), Rejection::TooLarge),
            ("{\"token\": \"t\"}".to_owned(), Rejection::NoToken),
        ] {
            assert_eq!(post(&body), Err(rejection), "{body:.60}");
        }
        let mut encoded = event("POST", "/approval", "", "not base64!");
        encoded["isBase64Encoded"] = true.into();
        assert_eq!(PageRequest::parse(encoded).unwrap().action, Err(Rejection::NoForm));
    }

    #[test]
    fn the_longest_name_and_comment_pass() {
        let body =
            format!("token=t&decision=reject&name={}&comment={}", "%C3%84".repeat(64), "%F0%9F%98%80".repeat(400));
        assert!(matches!(post(&body), Ok(Action::Decide { decision: ApproverDecision::Reject, .. })));
    }

    #[test]
    fn the_real_requests_of_an_http_api_are_understood() {
        let expected = [
            ("get-query", Err(Rejection::NotFound)),
            ("get-query-repeated", Err(Rejection::NotFound)),
            ("get-account-null", Err(Rejection::NotFound)),
            ("post-form-base64", Err(Rejection::NotFound)),
        ];
        for (name, action) in expected {
            let Some(file) = real(&format!("lambda-events/httpapi-{name}.json")) else { return };
            let event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
            assert_eq!(PageRequest::parse(event.clone()).unwrap().action, action, "{name}");
            // At the page's own path they are what they are.
            let mut event = event;
            event["rawPath"] = "/approval".into();
            let rejection = PageRequest::parse(event).unwrap().action.unwrap_err();
            assert_eq!(rejection, Rejection::NoToken, "{name}");
        }
    }

    #[test]
    fn what_is_no_request_of_an_http_api_is_an_error() {
        for event in
            [json!({}), json!(null), json!({ "Records": [] }), json!({ "httpMethod": "GET", "path": "/approval" })]
        {
            assert!(PageRequest::parse(event.clone()).is_err_and(|error| error.is_data()), "{event}");
        }
    }
}
