//! What came to the function URL.
//!
//! It is reachable from the internet, so the cheap checks come first: method, content type, raw delivery, size.
//! Only then the body is decoded and read.

use aws_lambda_events::lambda_function_urls::LambdaFunctionUrlRequest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatehouse_shared::sns::{Envelope, ParseError};
use gatehouse_shared::text::shorten;
use serde_json::Value;

use crate::error::{Declined, Error, Malformed};
use crate::route::Route;

/// The largest message that SNS delivers to an HTTPS endpoint, in bytes. A topic with a higher `MaximumMessageSize` cannot
/// have such subscriptions.
///
/// Source: SNS Developer Guide, "Publishing large messages with Amazon SNS".
pub const MAX_MESSAGE_LENGTH: usize = 256 * 1_024;

/// The largest body that is read, in bytes: that of a message of [`MAX_MESSAGE_LENGTH`], each character of which may be
/// escaped in JSON. Two bytes of UTF-8 make six at most.
const MAX_BODY_LENGTH: usize = 4 * MAX_MESSAGE_LENGTH;

/// A request, with what the log says of it.
#[derive(Debug)]
pub struct RelayRequest {
    /// Lambda's identifier of the request.
    pub request_id: Option<String>,
    /// Where it came from.
    pub source_ip: Option<String>,
    /// The message in it, unchecked but for its form, or why there is none.
    pub delivery: Result<Delivery, Declined>,
}

/// A message, and through which topics it says it came.
#[derive(Debug)]
pub struct Delivery {
    pub envelope: Envelope,
    /// The topics. Nobody signed them.
    pub route: Route,
}

impl RelayRequest {
    /// Reads the event of a function URL.
    ///
    /// # Errors
    ///
    /// [`Error::Event`] where the event is something else. A request that breaks the rules of HTTP is one all the same:
    /// its sender gets an answer.
    pub fn parse(event: Value) -> Result<Self, Error> {
        let context = &event["requestContext"];
        if !context["http"]["method"].is_string() {
            return Err(Error::Event);
        }
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let (request_id, source_ip) = (text(&context["requestId"]), text(&context["http"]["sourceIp"]));
        // Fails, for instance, for a control character in a header. The error can hold what an untrusted caller sent.
        let delivery = match serde_json::from_value::<LambdaFunctionUrlRequest>(event) {
            Ok(request) => delivery(&request),
            Err(_) => Err(Malformed::Request.into()),
        };
        Ok(Self { request_id, source_ip, delivery })
    }
}

fn delivery(request: &LambdaFunctionUrlRequest) -> Result<Delivery, Declined> {
    check_method(request)?;
    check_content_type(request)?;
    if header(request, "x-amz-sns-rawdelivery").is_some_and(|raw| raw.eq_ignore_ascii_case("true")) {
        return Err(Declined::RawDelivery);
    }
    let body = body(request)?;
    let envelope = Envelope::from_json(&body).map_err(|error| not_a_message(error, body.len()))?;
    let bytes = envelope.unverified_message_bytes();
    if bytes > MAX_MESSAGE_LENGTH {
        return Err(Malformed::TooLarge { part: "message", bytes, limit: MAX_MESSAGE_LENGTH }.into());
    }
    check_message_type(request, &envelope)?;
    Ok(Delivery { envelope, route: Route::from_body(&body) })
}

fn check_method(request: &LambdaFunctionUrlRequest) -> Result<(), Malformed> {
    let method = request.request_context.http.method.as_deref().unwrap_or_default();
    if method == "POST" { Ok(()) } else { Err(Malformed::Method { seen: shortened(method) }) }
}

/// SNS sends `text/plain; charset=UTF-8`, or what `headerContentType` of the delivery policy says.
fn check_content_type(request: &LambdaFunctionUrlRequest) -> Result<(), Malformed> {
    let content_type = header(request, "content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_accepted = ["text/plain", "application/json"].iter().any(|known| media_type.eq_ignore_ascii_case(known));
    if is_accepted { Ok(()) } else { Err(Malformed::ContentType { seen: shortened(content_type) }) }
}

/// The body as text, of at most [`MAX_BODY_LENGTH`].
fn body(request: &LambdaFunctionUrlRequest) -> Result<Vec<u8>, Malformed> {
    let body = request.body.as_deref().unwrap_or_default();
    let too_large = |bytes| Malformed::TooLarge { part: "body", bytes, limit: MAX_BODY_LENGTH };
    if !request.is_base64_encoded {
        return if body.len() > MAX_BODY_LENGTH { Err(too_large(body.len())) } else { Ok(body.into()) };
    }
    let longest = base64::decoded_len_estimate(body.len());
    if longest > MAX_BODY_LENGTH + 3 {
        return Err(too_large(longest));
    }
    let body = BASE64_STANDARD.decode(body)?;
    if body.len() > MAX_BODY_LENGTH {
        return Err(too_large(body.len()));
    }
    std::str::from_utf8(&body)?;
    Ok(body)
}

/// A large body that is no message is too large, whatever else it is.
fn not_a_message(error: ParseError, bytes: usize) -> Malformed {
    if bytes > MAX_MESSAGE_LENGTH {
        return Malformed::TooLarge { part: "body", bytes, limit: MAX_MESSAGE_LENGTH };
    }
    Malformed::Body(error)
}

/// SNS says in a header what the body is.
fn check_message_type(request: &LambdaFunctionUrlRequest, envelope: &Envelope) -> Result<(), Malformed> {
    let expected = envelope.unverified_message_type().as_str();
    let seen = header(request, "x-amz-sns-message-type");
    if seen == Some(expected) {
        return Ok(());
    }
    Err(Malformed::MessageType {
        seen: seen.map_or("missing".to_owned(), |seen| format!("{:?}", shortened(seen))),
        expected,
    })
}

/// The value of a header that is text; a function URL joins those of the same name.
fn header<'a>(request: &'a LambdaFunctionUrlRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

/// The start of what an untrusted caller sent, fit for a log.
pub(crate) fn shortened(text: &str) -> String {
    shorten(text, 121)
}
