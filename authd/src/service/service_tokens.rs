//! Tokens by which an application's backend acts: made and revoked by operators, shown on Better Auth's `/admin/*` routes.
//!
//! `authd_svc_`, 43 random characters, 6 of a checksum. The checksum tells a scanner, and us, that a text is one before anybody
//! is asked; it is no secret. Kept is the SHA-256 of the whole: what has 256 random bits needs no slow hash.

use std::{collections::BTreeSet, net::IpAddr};

use common::{Scope, SecretString, ServiceName, Span};
use tracing::warn;

use super::{ServiceError, Services, random::base62};
use crate::{
    digest::{is_same_secret, sha256},
    domain::{
        Act, Event, EventKind, ServiceToken, TokenDigest,
        service_token::{CHECKSUM, PREFIX, RANDOM},
    },
};

/// Base62 digits of the first four bytes of the SHA-256 of what stands before them, the most significant first.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let [a, b, c, d, ..] = sha256(text.as_bytes());
    let mut rest = u32::from_be_bytes([a, b, c, d]);
    let mut out = [b'0'; CHECKSUM];
    for place in out.iter_mut().rev() {
        *place = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    out.iter().copied().map(char::from).collect()
}

/// Whether a text is meant to be a service's token: then it is one, or wrong, and nothing else.
pub fn looks_like_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

fn is_well_formed(text: &str) -> bool {
    let Some((body, sum)) = text.split_at_checked(PREFIX.len() + RANDOM) else { return false };
    looks_like_one(body) && is_same_secret(checksum(body).as_bytes(), sum.as_bytes())
}

/// Under which a text is kept, if it can be a token at all.
pub(super) fn digest(text: &str) -> Option<TokenDigest> {
    is_well_formed(text).then(|| TokenDigest(sha256(text.as_bytes())))
}

/// What the audit trail calls a token by, also after it was revoked: too little of its digest to be anything else.
pub(super) fn fingerprint(TokenDigest(digest): &TokenDigest) -> String {
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token that was asked for.
pub struct Wanted {
    /// What the service is called.
    pub name: ServiceName,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// How long.
    pub expires: Option<Span>,
}

/// Makes a token. It is shown by who asked, and kept nowhere.
///
/// # Errors
/// `ServiceNameTaken`; it could not be made durable.
pub async fn create(app: &Services, wanted: Wanted, act: Act) -> Result<(ServiceToken, SecretString), ServiceError> {
    let body = format!("{PREFIX}{}", base62(&*app.entropy, RANDOM));
    let text = SecretString::new(format!("{body}{}", checksum(&body)));
    let token = ServiceToken {
        name: wanted.name,
        digest: TokenDigest(sha256(text.expose().as_bytes())),
        scopes: wanted.scopes,
        created_at: act.at,
        expires_at: wanted.expires.map(|life| act.at.plus(life)),
        last_used_at: None,
    };
    let scopes = token.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    let event = Event::new(EventKind::ServiceTokenCreated).with("scopes", &scopes);
    let event = event.with("fingerprint", &fingerprint(&token.digest));
    let event = token.expires_at.iter().fold(event, |event, end| event.with("expires_at", end));
    app.store.create_service_token(token.clone(), act, event).await?;
    Ok((token, text))
}

/// All of them, by name.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services) -> Result<Vec<ServiceToken>, ServiceError> {
    Ok(app.store.service_tokens().await?)
}

/// Revokes a service's token: it is none from the answer on. Or says only which one it would be.
///
/// # Errors
/// `ServiceNotFound`; it could not be made durable.
pub async fn revoke(app: &Services, name: &str, dry_run: bool, act: Act) -> Result<ServiceToken, ServiceError> {
    let name: ServiceName = name.parse().map_err(|_| ServiceError::ServiceNotFound)?;
    let found = if dry_run {
        list(app).await?.into_iter().find(|token| token.name == name)
    } else {
        app.store.revoke_service_token(name, act, Event::new(EventKind::ServiceTokenRevoked)).await?
    };
    found.ok_or(ServiceError::ServiceNotFound)
}

/// Why a text is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is the token of no service, or not any more.
    Unknown,
    /// Its time is over.
    Expired,
    /// There were too many wrong ones from that network: to be tried again after this time.
    Throttled(Span),
}

/// The service whose token it is, and that it was used. Wrong ones are counted by the client's network; a right one is taken
/// whatever was tried beside it, because none can be guessed.
///
/// # Errors
/// The store cannot be read.
pub async fn admit(
    app: &Services,
    text: &str,
    client: Option<IpAddr>,
) -> Result<Result<ServiceToken, Refused>, ServiceError> {
    let now = app.clock.now();
    let digest = TokenDigest(sha256(text.as_bytes()));
    let found = if is_well_formed(text) { app.store.service_token(&digest).await? } else { None };
    let refused = match found {
        Some(token) if token.is_active(now) => {
            // Not to know when it was used last is no reason to refuse it.
            if token.is_use_due(now)
                && let Err(error) = app.store.note_service_use(digest, now).await
            {
                warn!(service = %token.name, %error, "the use of a service's token was not written down");
            }
            return Ok(Ok(token));
        }
        Some(token) => (Refused::Expired, Some(token.name)),
        None => (Refused::Unknown, None),
    };
    if let Err(wait) = app.throttles.wrong_token(client, now) {
        return Ok(Err(Refused::Throttled(wait)));
    }
    let (refused, name) = refused;
    let service = name.as_ref().map_or("unknown", ServiceName::as_str);
    warn!(service, source = client.map(|client| client.to_string()), "a service's token was refused");
    Ok(Err(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_prefix_its_length_and_its_checksum() {
        let body = format!("{PREFIX}{}", "a".repeat(RANDOM));
        let good = format!("{body}{}", checksum(&body));
        assert_eq!(good.len(), 59);
        assert!(is_well_formed(&good) && looks_like_one(&good));
        let wrong = format!("{}b{}", &good[..20], &good[21..]);
        for bad in [&wrong, &good[..58], &format!("{good}a"), &body, PREFIX, "", &good.replace("svc", "abc"), "é"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
        // Six digits are enough for every value.
        assert!(62u64.pow(6) > u64::from(u32::MAX));
    }
}
