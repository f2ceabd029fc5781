//! Access tokens, JWTs in Better Auth's shape, and refresh tokens.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{ErrorCode, FamilyId, SecretString, SessionId, UnixTime, UserId, api::UserBody};
use quick_cache::{Weighter, sync::Cache};
use serde_json::json;
use tracing::warn;

use super::{
    Requester, ServiceError, Services, random,
    sessions::{self, Found},
};
use crate::{
    digest::is_same_secret,
    domain::{
        Actor, Family, Generation, SigningKey, User,
        token::{ACCESS_TOKEN_TYPE, Claims, TokenProblem},
    },
    store::{Live, Refresh, Refreshed, StoreError},
};

/// An access token and how long it lives.
pub struct AccessToken {
    /// A JWT, `typ: at+jwt` (RFC 9068).
    pub token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// A JWT that was made for a session a moment ago, and may be handed out again until half its life is over.
struct Recent {
    jwt: Arc<str>,
    kid: common::Kid,
    updated_at: UnixTime,
    half_life: UnixTime,
}

/// The recent JWTs, by session.
pub struct RecentJwts(Cache<SessionId, Arc<Recent>, JwtBytes>);

/// How much memory the recent JWTs may take: ten thousand of usual length.
const RECENT_BYTES: u64 = 12 << 20;

/// Weighs a JWT by its length: it has the user's fields in it, and those may be long.
#[derive(Clone)]
struct JwtBytes;

impl Weighter<SessionId, Arc<Recent>> for JwtBytes {
    fn weight(&self, _: &SessionId, recent: &Arc<Recent>) -> u64 {
        256 + recent.jwt.len() as u64
    }
}

impl Default for RecentJwts {
    fn default() -> Self {
        Self(Cache::with_weighter(10_000, RECENT_BYTES, JwtBytes))
    }
}

/// The user in Better Auth's shape.
pub fn user_body(user: &User) -> UserBody {
    UserBody {
        id: user.id.clone(),
        name: user.name.clone(),
        email: user.email.to_string(),
        email_verified: user.email_verified,
        image: user.image.clone(),
        created_at: user.created_at,
        updated_at: user.updated_at,
    }
}

fn sign(
    app: &Services,
    typ: &str,
    claims: &serde_json::Value,
    now: UnixTime,
) -> Result<(String, common::Kid), ServiceError> {
    let set = app.store.keys();
    let key = set.signing(now).ok_or(ServiceError::NoSigningKey(now))?;
    Ok((app.signer.sign(key, typ, &claims.to_string())?, key.kid.clone()))
}

/// The life of a token made now: the configured one, cut at the session's last end.
fn expiry(app: &Services, live: &Live, now: UnixTime) -> i64 {
    now.plus(app.policy.token_life).min(live.session.absolute_expires_at).as_secs().max(now.as_secs() + 1)
}

fn audience(app: &Services) -> serde_json::Value {
    match app.policy.token.audience.as_slice() {
        [one] => json!(one),
        several => json!(several),
    }
}

/// A new access token for a session: `iss sub aud iat nbf exp jti sid role`, nothing more (TK-14).
///
/// # Errors
/// `NoSigningKey`, `Signer`.
pub fn access_token(app: &Services, live: &Live) -> Result<AccessToken, ServiceError> {
    let now = app.clock.now();
    let (issued, expires) = (now.as_secs(), expiry(app, live, now));
    let claims = json!({
        "iss": app.policy.token.issuer,
        "sub": live.user.id,
        "aud": audience(app),
        "iat": issued,
        "nbf": issued,
        "exp": expires,
        "jti": random::base62(&*app.entropy, 22),
        "sid": live.session.id,
        "role": live.user.role,
    });
    let (token, _) = sign(app, ACCESS_TOKEN_TYPE, &claims, now)?;
    Ok(AccessToken { token, expires_in: (expires - issued).unsigned_abs() })
}

/// A JWT in the shape of Better Auth's jwt plugin (`set-auth-jwt`, `/token`): the user's fields and `iat exp iss aud sub`,
/// and `sid`. The same one again until half its life is over or the user changes.
///
/// # Errors
/// `NoSigningKey`, `Signer`.
pub fn better_auth_jwt(app: &Services, live: &Live) -> Result<Arc<str>, ServiceError> {
    let now = app.clock.now();
    if let Some(recent) = app.recent_jwts.0.get(&live.session.id)
        && recent.updated_at == live.user.updated_at
        && now < recent.half_life
        && app.store.keys().signing(now).is_some_and(|key| key.kid == recent.kid)
    {
        return Ok(recent.jwt.clone());
    }
    let (issued, expires) = (now.as_secs(), expiry(app, live, now));
    let mut claims = serde_json::to_value(user_body(&live.user)).unwrap_or_default();
    claims["iat"] = issued.into();
    claims["exp"] = expires.into();
    claims["iss"] = app.policy.token.issuer.as_str().into();
    claims["aud"] = audience(app);
    claims["sub"] = live.user.id.as_str().into();
    claims["sid"] = live.session.id.as_str().into();
    let (token, kid) = sign(app, "", &claims, now)?;
    let jwt: Arc<str> = token.into();
    let half_life = UnixTime::from_secs(i64::midpoint(issued, expires));
    let recent = Recent { jwt: jwt.clone(), kid, updated_at: live.user.updated_at, half_life };
    app.recent_jwts.0.insert(live.session.id.clone(), Arc::new(recent));
    Ok(jwt)
}

/// Why a bearer token is not taken, as the caller may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token itself.
    Token(TokenProblem),
    /// It was good, and its session has expired.
    SessionExpired,
    /// It was good, and its session was ended.
    SessionRevoked,
    /// It is a refresh token that was used before; its session has ended by this.
    Reused,
}

impl Refusal {
    /// The code that goes with it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Token(TokenProblem::Expired) => ErrorCode::TokenExpired,
            Self::Token(TokenProblem::KeyRevoked) => ErrorCode::KeyRevoked,
            Self::Token(_) => ErrorCode::InvalidToken,
            Self::SessionExpired => ErrorCode::SessionEnded,
            Self::SessionRevoked => ErrorCode::SessionRevoked,
            Self::Reused => ErrorCode::RefreshTokenReused,
        }
    }
}

/// Form, key and signature, and whether it is one of the two kinds that are taken here: `at+jwt`, or a JWT without `typ`
/// that carries our `sid`. Times are not looked at.
fn authentic(app: &Services, token: &str, now: UnixTime) -> Result<Claims, TokenProblem> {
    let verified = app.signer.verify(token, &app.store.keys(), now)?;
    match verified.kind.as_str() {
        ACCESS_TOKEN_TYPE | "" => Ok(verified.claims),
        _ => Err(TokenProblem::WrongType),
    }
}

/// The living session that a JWT stands for (TK-12): a token is taken only while its session lives, its user exists and
/// is not banned.
///
/// # Errors
/// The store cannot be read. A token that is not taken is the inner error.
pub async fn verify(app: &Services, token: &str) -> Result<Result<Live, Refusal>, ServiceError> {
    let now = app.clock.now();
    let claims = match authentic(app, token, now).and_then(|c| c.check(&app.policy.token, now).map(|()| c)) {
        Ok(claims) => claims,
        Err(problem) => return Ok(Err(Refusal::Token(problem))),
    };
    Ok(match sessions::by_id(app, &claims.session).await? {
        Found::Alive(live) if live.user.id == claims.subject => Ok(live),
        Found::Alive(_) => Err(Refusal::Token(TokenProblem::BadClaim("sub"))),
        Found::Expired(_) => Err(Refusal::SessionExpired),
        Found::Nothing => Err(Refusal::SessionRevoked),
    })
}

/// The session that a JWT names, for signing out: also one that has expired, if it is well signed and was ours. Its key may
/// have left the set by now, as long as it was in it when the token was made and was never revoked.
///
/// # Errors
/// Why it is not one of ours.
pub fn session_to_end(app: &Services, token: &str) -> Result<SessionId, TokenProblem> {
    let now = app.clock.now();
    let claims = match authentic(app, token, now) {
        Err(TokenProblem::KeyNotActive) => {
            let payload = app.signer.decode(token)?.payload;
            let issued = payload.get("iat").and_then(serde_json::Value::as_i64).ok_or(TokenProblem::BadClaim("iat"))?;
            authentic(app, token, UnixTime::from_secs(issued))?
        }
        outcome => outcome?,
    };
    match claims.check(&app.policy.token, now) {
        Ok(()) | Err(TokenProblem::Expired) => Ok(claims.session),
        Err(problem) => Err(problem),
    }
}

/// What every refresh token begins with, so that secret scanners and people know one.
pub const REFRESH_PREFIX: &str = "authd-rt";

/// The refresh token of a generation: `authd-rt.<family>.<generation>.<MAC>`. It can be computed again at any time; what
/// is stored is no token.
pub(super) fn refresh_token(app: &Services, family: &Family, generation: Generation) -> SecretString {
    let mac = refresh_mac(app, family, generation);
    SecretString::new(format!("{REFRESH_PREFIX}.{}.{}.{}", family.id, generation.0, URL_SAFE_NO_PAD.encode(mac)))
}

fn refresh_mac(app: &Services, family: &Family, generation: Generation) -> [u8; 32] {
    let id = family.id.as_str().as_bytes();
    app.secrets.refresh.mac(&[b"refresh token v1\0", id, &[0], &generation.0.to_be_bytes(), &family.salt])
}

/// The family and generation of a refresh token, if it is genuine; whether it may still be used is another matter.
///
/// # Errors
/// The store cannot be read.
pub async fn read_refresh(app: &Services, token: &str) -> Result<Option<(Family, Generation)>, ServiceError> {
    let Some((family, generation, mac)) = split_refresh(token) else { return Ok(None) };
    let Some(family) = app.store.family(&family).await? else { return Ok(None) };
    let expected = refresh_mac(app, &family, generation);
    let genuine = is_same_secret(&expected, &mac);
    Ok(genuine.then_some((family, generation)))
}

/// Uses a refresh token: the session it stands for, and the refresh token that is current from now on. Everything is decided
/// and written in one change, so a refresh that fails on our side neither burns the token nor counts as its use (RF-04).
///
/// # Errors
/// The store cannot read or write. A token that is not taken is the inner error.
pub async fn refresh(
    app: &Services,
    token: &str,
    requester: &Requester,
) -> Result<Result<(Live, SecretString), Refusal>, ServiceError> {
    let Some((family, shown, mac)) = split_refresh(token) else {
        return Ok(Err(Refusal::Token(TokenProblem::Malformed("not a refresh token"))));
    };
    // Families end with their sessions.
    let Some(family) = app.store.family(&family).await? else { return Ok(Err(Refusal::SessionRevoked)) };
    if !is_same_secret(&refresh_mac(app, &family, shown), &mac) {
        return Ok(Err(Refusal::Token(TokenProblem::BadSignature)));
    }
    let Some(live) = app.store.session(&family.session).await? else { return Ok(Err(Refusal::SessionRevoked)) };
    let act = requester.act(Actor::User(live.user.id.clone()), app.clock.now());
    let wanted = Refresh {
        family: family.id.clone(),
        shown,
        window: app.policy.reuse_window,
        client: requester.client(),
        policy: app.policy.session,
    };
    match app.store.refresh(wanted, act).await {
        Ok(Refreshed::Current(live, family)) => {
            let token = refresh_token(app, &family, family.current);
            Ok(Ok((live, token)))
        }
        Ok(Refreshed::Reused) => {
            let (session, source) = (live.session.id.as_str(), requester.source.as_deref());
            warn!(session, source, "a refresh token was used twice: somebody has a copy, and the session has ended");
            Ok(Err(Refusal::Reused))
        }
        Ok(Refreshed::Expired) => Ok(Err(Refusal::SessionExpired)),
        Err(StoreError::NoSuchSession) => Ok(Err(Refusal::SessionRevoked)),
        Err(e) => Err(e.into()),
    }
}

fn split_refresh(token: &str) -> Option<(FamilyId, Generation, [u8; 32])> {
    if token.len() > 256 {
        return None;
    }
    let mut parts = token.split('.');
    let (prefix, family, generation, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let canonical = generation.bytes().all(|b| b.is_ascii_digit()) && !generation.starts_with('0');
    if prefix != REFRESH_PREFIX || parts.next().is_some() || !canonical {
        return None;
    }
    let mac = URL_SAFE_NO_PAD.decode(mac).ok()?.try_into().ok()?;
    Some((family.parse().ok()?, Generation(generation.parse().ok()?), mac))
}

/// Whether a text has the form of a refresh token, genuine or not.
pub fn looks_like_refresh(token: &str) -> bool {
    split_refresh(token).is_some()
}

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
    /// `access_token`, `jwt`, `refresh_token` or `unknown`.
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
}

impl Inspected {
    fn new(kind: &'static str) -> Self {
        Self { kind, code: None, checks: vec![], header: None, claims: None, key: None, live: None }
    }

    fn held(&mut self, name: &'static str, found: impl Into<String>) {
        self.checks.push(Check { name, ok: true, found: found.into() });
    }

    fn failed(mut self, name: &'static str, found: impl Into<String>, code: ErrorCode) -> Self {
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
        Ok(claims) => claims,
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
            let found =
                format!("{id} was signed out, revoked or swept away (authctl audit list --user USER shows which)");
            Ok(report.failed("session", found, ErrorCode::SessionRevoked))
        }
    }
}
