//! Refresh tokens: made from what is stored, read, and used.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{FamilyId, SecretString};
use tracing::warn;

use super::{
    super::{Requester, ServiceError, Services},
    Refusal,
};
use crate::{
    digest::is_same_secret,
    domain::{Actor, Family, Generation, Method, token::TokenProblem},
    store::{Live, Refresh, Refreshed, StoreError},
};

/// What every refresh token begins with, so that secret scanners and people know one.
pub const REFRESH_PREFIX: &str = "authd-rt";

/// The refresh token of a generation: `authd-rt.<family>.<generation>.<MAC>`. It can be computed again at any time; what
/// is stored is no token.
pub(in crate::service) fn refresh_token(app: &Services, family: &Family, generation: Generation) -> SecretString {
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
    let outcome = refreshed(app, token, requester).await;
    app.counts.refreshes.ended(&outcome);
    outcome
}

async fn refreshed(
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
    let act = requester.act(Actor::User(live.user.id.clone()), Method::RefreshToken, app.clock.now());
    let wanted = Refresh {
        family: family.id.clone(),
        shown,
        window: app.policy.reuse_window,
        client: requester.client(),
        policy: app.policy.session_in_use(),
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
