//! Access tokens, JWTs in Better Auth's shape, and refresh tokens.

mod cache;
mod inspect;
mod of_service;
mod refresh;

use std::sync::Arc;

use common::{
    ErrorCode, Kid, SessionId, UnixTime,
    api::{AdminFields, UserBody, UsernameFields},
};
use serde_json::{Map, Value, json};

use self::cache::{Digest, Known, Recent};
pub(super) use self::refresh::refresh_token;
pub use self::{
    cache::{RecentJwts, VerifiedTokens},
    inspect::{Check, Inspected, inspect},
    refresh::{REFRESH_PREFIX, looks_like_refresh, read_refresh, refresh},
};
use super::{
    ServiceError, Services, fields, hooks, random,
    sessions::{self, Found},
};
use crate::{
    domain::{
        Hook, User,
        token::{ACCESS_TOKEN_TYPE, Claims, TokenProblem},
    },
    ports::VerifiedToken,
    store::Live,
};

/// An access token and how long it lives.
pub struct AccessToken {
    /// A JWT, `typ: at+jwt` (RFC 9068).
    pub token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// The user in Better Auth's shape, with those of the application's fields that clients see.
pub fn user_body(app: &Services, user: &User) -> UserBody {
    UserBody {
        id: user.id.clone(),
        name: user.name.clone(),
        email: user.email.to_string(),
        email_verified: user.email_verified,
        image: user.image.clone(),
        created_at: user.created_at,
        updated_at: user.updated_at,
        admin: app.policy.admin.as_ref().map(|_| AdminFields {
            role: user.role.clone(),
            banned: user.ban.is_some(),
            ban_reason: user.ban.as_ref().and_then(|ban| ban.reason.clone()),
            ban_expires: user.ban.as_ref().and_then(|ban| ban.expires_at),
        }),
        usernames: app.policy.username.map(|_| UsernameFields {
            username: user.username.clone(),
            display_username: user.display_username.clone(),
        }),
        fields: fields::shown(&app.policy.user_fields, &user.fields),
    }
}

fn sign(app: &Services, typ: &str, claims: &Value, now: UnixTime) -> Result<(String, Kid), ServiceError> {
    let set = app.store.keys();
    let key = set.signing(now).ok_or(ServiceError::NoSigningKey(now))?;
    Ok((app.signer.sign(key, typ, &claims.to_string())?, key.kid.clone()))
}

/// A JWT that was taken.
pub struct Accepted {
    /// The session that it stands for.
    pub live: Live,
    /// When it expires, and with it whatever is made from it.
    pub expires_at: UnixTime,
}

/// The life of a token made now: the configured one, cut at the session's last end.
fn expiry(app: &Services, live: &Live, now: UnixTime) -> i64 {
    now.plus(app.policy.token_life).min(live.session.absolute_expires_at).as_secs().max(now.as_secs() + 1)
}

fn audience(app: &Services) -> Value {
    match app.policy.token.audience.as_slice() {
        [one] => json!(one),
        several => json!(several),
    }
}

/// Who acts as the subject, if it is not the subject (RFC 8693 §4.1, AZ-07).
fn name_actor(claims: &mut Value, live: &Live) {
    if let Some(impersonation) = &live.session.impersonation {
        claims["act"] = json!({"sub": impersonation.by});
    }
}

/// What the application adds to the access token of a session that is opened with it.
#[derive(Debug, Clone, Default)]
pub struct Added(Map<String, Value>);

/// Asks for that while there is no session yet: an application that refuses or does not answer leaves none that nobody holds.
///
/// # Errors
/// `HookRefused`, `HookUnavailable`.
pub(super) async fn added_before(app: &Services, live: &Live) -> Result<Added, ServiceError> {
    // What else the token says is reserved, whatever it says.
    hooks::claims(app, live, "access", &Value::Null).await.map(Added)
}

fn add(claims: &mut Value, added: Map<String, Value>) {
    if let Some(claims) = claims.as_object_mut() {
        claims.extend(added);
    }
}

/// A new access token for a session: `iss sub aud iat nbf exp jti sid role`, and `act` where an administrator acts
/// as the user; nothing more (TK-14), but what the application adds: asked for now, unless it was `asked` already.
///
/// # Errors
/// `NoSigningKey`, `Signer`; `HookRefused`, `HookUnavailable`.
pub async fn access_token(app: &Services, live: &Live, asked: Option<&Added>) -> Result<AccessToken, ServiceError> {
    let now = app.clock.now();
    let (issued, expires) = (now.as_secs(), expiry(app, live, now));
    let mut claims = json!({
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
    name_actor(&mut claims, live);
    let added = match asked {
        Some(Added(added)) => added.clone(),
        None => hooks::claims(app, live, "access", &claims).await?,
    };
    add(&mut claims, added);
    let (token, _) = sign(app, ACCESS_TOKEN_TYPE, &claims, now)?;
    Ok(AccessToken { token, expires_in: (expires - issued).unsigned_abs() })
}

/// A JWT in the shape of Better Auth's jwt plugin (`set-auth-jwt`, `/token`): the user's fields and `iat exp iss aud sub`,
/// and `sid`. The same one again until half its life is over or the user changes.
///
/// `until` is when the JWT expires that the caller showed, if it was one and not the session's own credential: what is made
/// from a token lives no longer than that token, or else whoever saw one once would keep access for as long as the session.
///
/// # Errors
/// `NoSigningKey`, `Signer`; `HookRefused`, `HookUnavailable`.
pub async fn better_auth_jwt(app: &Services, live: &Live, until: Option<UnixTime>) -> Result<Arc<str>, ServiceError> {
    let now = app.clock.now();
    if until.is_none()
        && let Some(recent) = recent_jwt(app, live, now)
    {
        return Ok(recent);
    }
    let issued = now.as_secs();
    let expires = expiry(app, live, now).min(until.map_or(i64::MAX, UnixTime::as_secs));
    let mut claims = serde_json::to_value(user_body(app, &live.user)).unwrap_or_default();
    claims["iat"] = issued.into();
    claims["exp"] = expires.into();
    claims["iss"] = app.policy.token.issuer.as_str().into();
    claims["aud"] = audience(app);
    claims["sub"] = live.user.id.as_str().into();
    claims["sid"] = live.session.id.as_str().into();
    name_actor(&mut claims, live);
    let added = hooks::claims(app, live, "better-auth", &claims).await?;
    add(&mut claims, added);
    let (token, kid) = sign(app, "", &claims, now)?;
    let jwt: Arc<str> = token.into();
    if until.is_some() {
        return Ok(jwt);
    }
    let half_life = UnixTime::from_secs(i64::midpoint(issued, expires));
    let life = app.policy.token_life;
    let recent = Recent { jwt: jwt.clone(), kid, life, user: live.user.clone(), half_life };
    app.recent_jwts.0.insert(live.session.id.clone(), Arc::new(recent));
    Ok(jwt)
}

/// The JWT in that shape that was made for this session a moment ago, if it still says what is so.
fn recent_jwt(app: &Services, live: &Live, now: UnixTime) -> Option<Arc<str>> {
    let recent = app.recent_jwts.0.get(&live.session.id)?;
    let is_current = (Arc::ptr_eq(&recent.user, &live.user) || recent.user == live.user)
        && now < recent.half_life
        && recent.life == app.policy.token_life
        && app.store.keys().signing(now).is_some_and(|key| key.kid == recent.kid);
    is_current.then(|| recent.jwt.clone())
}

/// The JWT that goes along with an answer about the session. Where the application adds claims, only one that was asked for
/// already (`/token`): a slow application must not slow who only wants to know who is signed in.
///
/// # Errors
/// `NoSigningKey`, `Signer`.
pub async fn accompanying_jwt(app: &Services, live: &Live) -> Result<Option<Arc<str>>, ServiceError> {
    if app.hooks.is_on(Hook::Claims) {
        return Ok(recent_jwt(app, live, app.clock.now()));
    }
    better_auth_jwt(app, live, None).await.map(Some)
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
fn authentic(app: &Services, token: &str, now: UnixTime) -> Result<VerifiedToken, TokenProblem> {
    let verified = app.signer.verify(token, &app.store.keys(), now)?;
    match verified.kind.as_str() {
        ACCESS_TOKEN_TYPE | "" => Ok(verified),
        _ => Err(TokenProblem::WrongType),
    }
}

/// The living session that a JWT stands for (TK-12): a token is taken only while its session lives, its user exists and
/// is not banned. A token that was taken before is not verified again, only looked up.
///
/// # Errors
/// The store cannot be read. A token that is not taken is the inner error.
pub async fn verify(app: &Services, token: &str) -> Result<Result<Accepted, Refusal>, ServiceError> {
    let (now, digest) = (app.clock.now(), Digest::of(token));
    let known = app.verified_tokens.get(&digest, &app.store.keys(), now);
    let is_new = matches!(known, Ok(None));
    let outcome = match known.and_then(|known| known.map_or_else(|| verify_anew(app, token, now), Ok)) {
        Ok(known) => live_session(app, &known.claims, now).await?.map(|live| (known, live)),
        Err(problem) => Err(Refusal::Token(problem)),
    };
    match outcome {
        Ok((known, live)) => {
            let expires_at = UnixTime::from_secs(known.claims.expires_at);
            if is_new {
                app.verified_tokens.put(digest, known);
            }
            Ok(Ok(Accepted { live, expires_at }))
        }
        Err(refusal) => {
            if !is_new {
                app.verified_tokens.forget(&digest);
            }
            Ok(Err(refusal))
        }
    }
}

fn verify_anew(app: &Services, token: &str, now: UnixTime) -> Result<Arc<Known>, TokenProblem> {
    let VerifiedToken { kid, claims, .. } = authentic(app, token, now)?;
    Ok(Arc::new(Known { kid, claims }))
}

/// The session of a token that is authentic, if the token counts for us now.
async fn live_session(app: &Services, claims: &Claims, now: UnixTime) -> Result<Result<Live, Refusal>, ServiceError> {
    if let Err(problem) = claims.check(&app.policy.token, now) {
        return Ok(Err(Refusal::Token(problem)));
    }
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
            let issued = payload.get("iat").and_then(Value::as_i64).ok_or(TokenProblem::BadClaim("iat"))?;
            authentic(app, token, UnixTime::from_secs(issued))?
        }
        outcome => outcome?,
    }
    .claims;
    match claims.check(&app.policy.token, now) {
        Ok(()) | Err(TokenProblem::Expired) => Ok(claims.session),
        Err(problem) => Err(problem),
    }
}
