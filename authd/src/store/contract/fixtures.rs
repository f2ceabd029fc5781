//! The users, sessions and keys that the suite works with.

use std::sync::Arc;

use common::{Span, UnixTime};

use crate::{
    domain::{
        Act, Algorithm, ClientDigest, Credential, Family, FieldChanges, FieldValue, FieldValues, Generation,
        PasswordHash, RepeatSeen, Session, SigningKey, TokenDigest, User,
    },
    store::NewSession,
};

/// The moment at which the suite happens.
pub const T0: UnixTime = UnixTime::from_secs(1_700_000_000);

/// An act of the daemon at [`T0`].
pub fn act() -> Act {
    Act::by_daemon(T0)
}

/// A user called `name`.
///
/// # Panics
/// If the name is no local part.
#[allow(clippy::unwrap_used)]
pub fn user(name: &str) -> User {
    User {
        id: format!("user-{name}").parse().unwrap(),
        email: format!("{name}@example.com").parse().unwrap(),
        email_verified: false,
        name: name.to_uppercase(),
        image: None,
        username: None,
        display_username: None,
        fields: FieldValues::default(),
        role: "user".into(),
        ban: None,
        password_change_required: false,
        epoch: 0,
        created_at: T0,
        updated_at: T0,
    }
}

/// A password of that user.
///
/// # Panics
/// Never with a name that [`user`] takes.
#[allow(clippy::unwrap_used)]
pub fn credential(name: &str, hash: &str) -> Credential {
    Credential {
        id: format!("account-{name}").parse().unwrap(),
        user: format!("user-{name}").parse().unwrap(),
        hash: PasswordHash::new(hash),
        created_at: T0,
        updated_at: T0,
    }
}

/// The `n`-th session of that user, a second younger than the one before it, with a family.
///
/// # Panics
/// Never with a name that [`user`] takes.
#[allow(clippy::unwrap_used)]
pub fn session(name: &str, n: u8) -> NewSession {
    let mut digest = [n; 32];
    digest[..name.len().min(31)].copy_from_slice(&name.as_bytes()[..name.len().min(31)]);
    let created_at = T0.plus(Span::from_secs(u64::from(n)));
    let id = format!("session-{name}-{n}").parse().unwrap();
    let family = Family {
        id: format!("family-{name}-{n}").parse().unwrap(),
        session: format!("session-{name}-{n}").parse().unwrap(),
        salt: [n; 16],
        current: Generation::FIRST,
        parent: None,
        rotations: vec![],
        client: ClientDigest::default(),
        repeat_seen: RepeatSeen::default(),
        created_at,
    };
    let session = Session {
        id,
        user: format!("user-{name}").parse().unwrap(),
        digest: TokenDigest(digest),
        created_at,
        updated_at: created_at,
        expires_at: created_at.plus(Span::from_days(7)),
        absolute_expires_at: created_at.plus(Span::from_days(30)),
        remember: true,
        ip_address: String::new(),
        user_agent: String::new(),
        methods: vec!["pwd".into()],
        family: Some(family.id.clone()),
        fields: FieldValues::default(),
        impersonation: None,
    };
    NewSession { session, family: Some(family), replaces: vec![], max_per_user: 100 }
}

/// A change of one field: to a text of this length, or to nothing.
pub(super) fn field(name: &str, len: Option<usize>) -> FieldChanges {
    FieldChanges::from([(name.into(), len.map(|len| FieldValue::Text("x".repeat(len))))])
}

/// A key that signs from [`T0`] on.
///
/// # Panics
/// If the name is no id.
#[allow(clippy::unwrap_used)]
pub fn key(kid: &str) -> SigningKey {
    SigningKey {
        kid: kid.parse().unwrap(),
        algorithm: Algorithm::EdDsa,
        public_jwk: "{}".into(),
        sealed: Arc::from([1u8, 2]),
        token_life: Span::from_mins(15),
        created_at: T0,
        published_at: T0,
        signs_at: T0,
        retires_at: None,
        gone_at: None,
        revoked_at: None,
    }
}
