//! A token under the magnifying glass, for operators.

use common::{ErrorCode, SessionId, UnixTime, UserId};

use super::{
    super::{
        ServiceError, Services,
        service_tokens::looks_like_one as looks_like_service,
        sessions::{self, Found},
    },
    Refusal, authentic, looks_like_refresh, of_service, read_refresh,
};
use crate::{
    domain::{
        ServiceToken, SigningKey,
        token::{ACCESS_TOKEN_TYPE, TokenProblem},
    },
    store::Live,
};

/// One check of a token that was looked at.
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

/// Everything that is known of a token but its signature.
pub struct Inspected {
    /// `access_token`, `jwt`, `refresh_token`, `service_token` or `unknown`.
    pub kind: &'static str,
    /// Why a client would be refused with it; `None` if it would be taken.
    pub code: Option<ErrorCode>,
    /// The checks, in order, up to the first that failed.
    pub checks: Vec<Check>,
    /// The header of a JWT.
    pub header: Option<serde_json::Map<String, serde_json::Value>>,
    /// The claims of a JWT, authentic or not.
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
    /// The key that it names.
    pub key: Option<SigningKey>,
    /// The session that it stands for.
    pub live: Option<Live>,
    /// The service whose token it is.
    pub service: Option<ServiceToken>,
}

impl Inspected {
    pub(super) fn new(kind: &'static str) -> Self {
        let (code, header, claims, key) = (None, None, None, None);
        Self { kind, code, checks: vec![], header, claims, key, live: None, service: None }
    }

    pub(super) fn held(&mut self, name: &'static str, found: impl Into<String>) {
        self.checks.push(Check { name, ok: true, found: found.into() });
    }

    pub(super) fn failed(mut self, name: &'static str, found: impl Into<String>, code: ErrorCode) -> Self {
        self.checks.push(Check { name, ok: false, found: found.into() });
        self.code = Some(code);
        self
    }
}

/// Looks at a token as the doors would, step by step, and says what each step found.
///
/// # Errors
/// The store cannot be read.
pub async fn inspect(app: &Services, token: &str) -> Result<Inspected, ServiceError> {
    let now = app.clock.now();
    if looks_like_refresh(token) {
        return inspect_refresh(app, token).await;
    }
    if looks_like_service(token) {
        return of_service::inspect(app, token).await;
    }
    let decoded = match app.signer.decode(token) {
        Ok(decoded) => decoded,
        Err(problem) => {
            return Ok(Inspected::new("unknown").failed("form", problem.describe(), ErrorCode::InvalidToken));
        }
    };
    let is_access = decoded.header.get("typ").and_then(|typ| typ.as_str()) == Some(ACCESS_TOKEN_TYPE);
    let mut report = Inspected::new(if is_access { "access_token" } else { "jwt" });
    report.held("form", "a compact JWS");
    let set = app.store.keys();
    report.key = decoded.header.get("kid").and_then(|kid| kid.as_str()).and_then(|kid| set.get(kid)).cloned();
    report.header = Some(decoded.header);
    report.claims = Some(decoded.payload);
    let claims = match authentic(app, token, now) {
        Ok(verified) => verified.claims,
        Err(problem) => {
            let name = match problem {
                TokenProblem::BadSignature => "signature",
                TokenProblem::BadClaim(_) => "claims",
                TokenProblem::WrongType => "typ",
                _ => "key",
            };
            return Ok(report.failed(name, problem.describe(), Refusal::Token(problem).code()));
        }
    };
    if let Some(key) = &report.key {
        let found = format!("{} {} is {}", key.algorithm.as_str(), key.kid, key.state(now).as_str());
        report.held("key", found);
    }
    report.held("signature", "good");
    let until = UnixTime::from_secs(claims.expires_at);
    match claims.check(&app.policy.token, now) {
        Ok(()) => report.held("claims", format!("for us, until {until}")),
        Err(problem) => {
            let found = match problem {
                TokenProblem::Expired => format!("expired at {until}"),
                other => other.describe(),
            };
            return Ok(report.failed("claims", found, Refusal::Token(problem).code()));
        }
    }
    judge_session(app, report, &claims.session, Some(&claims.subject)).await
}

async fn inspect_refresh(app: &Services, token: &str) -> Result<Inspected, ServiceError> {
    let mut report = Inspected::new("refresh_token");
    let Some((family, generation)) = read_refresh(app, token).await? else {
        let found = "not one of ours, or its session has ended";
        return Ok(report.failed("family", found, ErrorCode::InvalidToken));
    };
    report.held("family", format!("{}, generation {} of {}", family.id, generation.0, family.current.0));
    if generation != family.current {
        let found = format!("generation {} was used; {} is the current one", generation.0, family.current.0);
        return Ok(report.failed("generation", found, ErrorCode::InvalidToken));
    }
    judge_session(app, report, &family.session, None).await
}

async fn judge_session(
    app: &Services,
    mut report: Inspected,
    id: &SessionId,
    subject: Option<&UserId>,
) -> Result<Inspected, ServiceError> {
    let found = sessions::by_id(app, id).await?;
    if let Found::Alive(live) | Found::Expired(live) = &found {
        report.live = Some(live.clone());
    }
    match found {
        Found::Alive(live) if subject.is_none_or(|subject| *subject == live.user.id) => {
            report.held("session", format!("{} of {} is active", live.session.id, live.user.email));
            Ok(report)
        }
        Found::Alive(_) => Ok(report.failed("session", "it is another user's", ErrorCode::InvalidToken)),
        Found::Expired(live) => {
            let found = format!("{id} has ended: {}", live.session.state(app.clock.now()).as_str());
            Ok(report.failed("session", found, ErrorCode::SessionEnded))
        }
        Found::Nothing => {
            let user = subject.map_or("USER", UserId::as_str);
            let found =
                format!("{id} was signed out, revoked or swept away (authctl audit list --user {user} shows which)");
            Ok(report.failed("session", found, ErrorCode::SessionRevoked))
        }
    }
}
