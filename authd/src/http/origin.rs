//! Which pages may call: CORS for their browsers, and the checks that stop other pages from riding on a visitor's cookies
//! or signing a visitor in (PROTOCOL section 7; WB-01, WB-02, WB-05).

use common::ErrorCode;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};

use super::{ApiError, App, OriginRule, Req};
use crate::door::{Body, Head, Reply, validate::is_truthy};

/// `Sec-Fetch-Site`
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What scripts of a trusted page may read of an answer, beyond the usual.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("set-auth-token, set-auth-jwt, x-retry-after, retry-after, x-request-id");

/// Answers a preflight of a trusted origin. Everybody else's is the recorded 404, as for any `OPTIONS`.
pub fn preflight(app: &App, head: &Head) -> Option<Reply> {
    let asks = head.method == Method::OPTIONS && head.has(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || !head.text(header::ORIGIN).is_some_and(|origin| app.settings.origins.trusts(origin)) {
        return None;
    }
    let reply = Reply::empty(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"))
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, authorization"))
        .header(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Some(reply)
}

/// Lets the scripts of a trusted page read the answer: its exact origin, never `*` with credentials.
pub fn allow(app: &App, head: &Head, reply: &mut Reply) {
    let Some(origin) = head.text(header::ORIGIN) else { return };
    if app.settings.origins.trusts(origin) {
        reply.add(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        reply.add(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        reply.add(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The check before a handler, and that of the URLs in the body to which a browser would be sent.
///
/// # Errors
/// `MissingOrNullOrigin`, `InvalidOrigin`, `InvalidCallbackUrl` and the like.
pub fn check(app: &App, head: &Head, rule: OriginRule, body: &Body) -> Result<(), ApiError> {
    let applies = match rule {
        OriginRule::None => return Ok(()),
        OriginRule::Targets => false,
        OriginRule::WithCookie => head.has(header::COOKIE),
        // `Sec-Fetch-Mode` alone is Node's fetch.
        OriginRule::FromBrowser => {
            [header::COOKIE, header::ORIGIN, header::REFERER, SEC_FETCH_SITE].into_iter().any(|name| head.has(name))
        }
    };
    if applies {
        check_origin(app, head)?;
    }
    check_targets(app, head, body)
}

fn check_origin(app: &App, head: &Head) -> Result<(), ApiError> {
    let missing = || Err(ApiError::new(ErrorCode::MissingOrNullOrigin));
    let claimed = match head.single(header::ORIGIN) {
        Ok(Some(origin)) => Some(origin.to_owned()),
        Ok(None) => head.text(header::REFERER).map(origin_of),
        Err(_) => return Err(ApiError::new(ErrorCode::InvalidOrigin)),
    };
    let same_origin = head.text(SEC_FETCH_SITE) == Some("same-origin");
    match claimed.as_deref() {
        // Some privacy settings blank the origin even of the site's own requests, and the browser itself vouches for it.
        Some("null") if same_origin => Ok(()),
        None | Some("" | "null") => missing(),
        Some(origin) if app.settings.origins.trusts(origin) => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::InvalidOrigin)),
    }
}

/// What is no URL is an origin that nobody trusts.
fn origin_of(referer: &str) -> String {
    url::Url::parse(referer).map_or_else(|_| referer.to_owned(), |url| url.origin().ascii_serialization())
}

/// As recorded: of the body, and for want of it there `callbackURL` of the query.
fn check_targets(app: &App, head: &Head, body: &Body) -> Result<(), ApiError> {
    let none = Map::new();
    let fields = match body {
        Body::Value(Value::Object(fields)) => fields,
        _ => &none,
    };
    let in_query = head.query("callbackURL").map(Value::String);
    for (name, code) in [
        ("callbackURL", ErrorCode::InvalidCallbackUrl),
        ("redirectTo", ErrorCode::InvalidRedirectUrl),
        ("errorCallbackURL", ErrorCode::InvalidErrorCallbackUrl),
        ("newUserCallbackURL", ErrorCode::InvalidNewUserCallbackUrl),
    ] {
        // What is as good as absent is left to the schema.
        let given = fields.get(name).filter(|value| is_truthy(value));
        match given.or(in_query.as_ref().filter(|value| name == "callbackURL" && is_truthy(value))) {
            None => {}
            Some(Value::String(target)) if app.settings.origins.trusts_target(target) => {}
            Some(Value::String(_)) => return Err(ApiError::new(code)),
            Some(_) => {
                let label = code.message().trim_start_matches("Invalid ");
                let message = format!("Invalid {label}: expected a string");
                return Err(ApiError::without_code(StatusCode::BAD_REQUEST, message));
            }
        }
    }
    Ok(())
}

impl Req {
    /// The check of sign-in and sign-up without a cookie, made after the schema (recorded): nobody is signed in yet, but a
    /// foreign page could sign its visitor in to an account of its own (WB-02).
    ///
    /// # Errors
    /// `CrossSiteNavigationLoginBlocked`, `MissingOrNullOrigin`, `InvalidOrigin`.
    pub fn check_form(&self, app: &App) -> Result<(), ApiError> {
        let head = &self.head;
        if head.has(header::COOKIE) {
            return Ok(());
        }
        let fetched = [SEC_FETCH_SITE, SEC_FETCH_MODE, SEC_FETCH_DEST].into_iter().any(|name| head.has(name));
        if fetched && head.text(SEC_FETCH_SITE) == Some("cross-site") && head.text(SEC_FETCH_MODE) == Some("navigate") {
            return Err(ApiError::new(ErrorCode::CrossSiteNavigationLoginBlocked));
        }
        if fetched || head.has(header::ORIGIN) || head.has(header::REFERER) { check_origin(app, head) } else { Ok(()) }
    }
}
