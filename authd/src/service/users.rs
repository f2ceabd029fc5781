//! What operators do to accounts.

use std::sync::Arc;

use common::{Email, SecretString, UserId};

use super::{
    ServiceError, Services,
    passwords::{self, OwnWords},
    random,
};
use crate::{
    domain::{Act, Ban, Credential, Event, EventKind, HashScheme, User, user::DEFAULT_ROLE},
    store::{AuditQuery, Ended, Page, UserQuery},
};

/// An account that an operator makes.
#[derive(Debug)]
pub struct NewAccount {
    /// Valid, canonical.
    pub email: Email,
    /// Display name.
    pub name: String,
    /// Without one nobody can sign in until one is set.
    pub password: Option<SecretString>,
    /// Whether the password is for one use.
    pub temporary: bool,
    /// Whether the address counts as proved.
    pub email_verified: bool,
    /// `user` if absent.
    pub role: Option<String>,
}

/// Makes an account. Rules for passwords hold here as well.
///
/// # Errors
/// `InvalidName`, `InvalidRole`, `Password`, `UserExists`, `Busy`.
pub async fn create(app: &Services, wanted: NewAccount, mut act: Act) -> Result<Arc<User>, ServiceError> {
    passwords::check_name(&wanted.name)?;
    let role = wanted.role.unwrap_or_else(|| DEFAULT_ROLE.into());
    check_role(&role)?;
    if app.store.user_by_email(&wanted.email).await?.is_some() {
        return Err(ServiceError::UserExists);
    }
    let own = OwnWords { email: &wanted.email, name: &wanted.name };
    let hash = match &wanted.password {
        Some(password) => Some(passwords::accept(app, password, own, None).await?),
        None => None,
    };
    let now = app.clock.now();
    act.at = now;
    let user = User {
        id: random::user_id(&*app.entropy),
        email: wanted.email,
        email_verified: wanted.email_verified,
        name: wanted.name,
        image: None,
        role,
        ban: None,
        password_change_required: wanted.temporary && hash.is_some(),
        epoch: 0,
        created_at: now,
        updated_at: now,
    };
    let credential = hash.map(|hash| Credential {
        id: random::account_id(&*app.entropy),
        user: user.id.clone(),
        hash,
        created_at: now,
        updated_at: now,
    });
    let event = Event::new(EventKind::UserCreated).user(&user.id);
    app.store.create_user(user.clone(), credential, None, act, event).await?;
    Ok(Arc::new(user))
}

/// The longest role, in bytes.
const MAX_ROLE_BYTES: usize = 128;

/// Whether the text may be a role, which programs compare: no two may look alike.
pub(super) fn check_role(role: &str) -> Result<(), ServiceError> {
    match !role.is_empty() && role.len() <= MAX_ROLE_BYTES && role.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(ServiceError::InvalidRole),
    }
}

/// How many candidates an ambiguous name lists.
const CANDIDATES: usize = 10;

/// Whether the text has the form of an id that authd or Better Auth makes: 32 letters and digits, or a UUID.
fn looks_like_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = || text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex);
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric()) || is_uuid()
}

/// The user by id, e-mail address or, if only one has it, display name or the part of the address before the `@`.
///
/// What has the form of an id, and what the audit trail knows as one, is an id and never a name: people choose their names, and
/// could choose the id of an account that is gone, so that what is meant for that one were done to theirs.
///
/// # Errors
/// `UserNotFound`, `AmbiguousUser`.
pub async fn find(app: &Services, reference: &str) -> Result<Arc<User>, ServiceError> {
    let id = reference.parse::<UserId>().ok();
    if let Some(id) = &id
        && let Some(user) = app.store.user(id).await?
    {
        return Ok(user);
    }
    if looks_like_id(reference) {
        return Err(ServiceError::UserNotFound);
    }
    if let Ok(email) = reference.parse::<Email>() {
        return app.store.user_by_email(&email).await?.ok_or(ServiceError::UserNotFound);
    }
    if let Some(id) = id {
        let trail = AuditQuery { user: Some(id), kind: None, since: None, before: None, limit: 1 };
        if !app.store.audit(trail).await?.items.is_empty() {
            return Err(ServiceError::UserNotFound);
        }
    }
    let name = reference.trim().to_lowercase();
    if name.is_empty() {
        return Err(ServiceError::UserNotFound);
    }
    let mut found: Vec<Arc<User>> = vec![];
    let mut query = UserQuery { contains: Some(name.clone()), limit: 1000, ..UserQuery::default() };
    // To the end: the one that is meant may stand on any page, and a second one on the last.
    loop {
        let page = app.store.users(query.clone()).await?;
        let is_meant = |user: &Arc<User>| user.name.to_lowercase() == name || user.email.local_part() == name;
        found.extend(page.items.into_iter().filter(is_meant));
        match page.next {
            Some(next) if found.len() <= CANDIDATES => query.after = Some(next),
            _ => break,
        }
    }
    match found.len() {
        0 => Err(ServiceError::UserNotFound),
        1 => Ok(found.remove(0)),
        _ => Err(ServiceError::AmbiguousUser(found.iter().take(CANDIDATES).map(|u| u.email.to_string()).collect())),
    }
}

/// A page of users.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services, query: UserQuery) -> Result<Page<Arc<User>>, ServiceError> {
    Ok(app.store.users(query).await?)
}

/// How a user can sign in, and how many sessions there are.
///
/// # Errors
/// The store cannot be read.
pub async fn about(app: &Services, user: &UserId) -> Result<(Option<HashScheme>, u64), ServiceError> {
    let credential = app.store.credential(user).await?;
    Ok((credential.map(|credential| credential.hash.scheme()), sessions_of(app, user).await?))
}

/// How many sessions would end with the account.
///
/// # Errors
/// The store cannot be read.
pub async fn sessions_of(app: &Services, user: &UserId) -> Result<u64, ServiceError> {
    Ok(app.store.sessions_of(user).await?.len() as u64)
}

/// What was done to an account.
#[derive(Debug)]
pub struct Changed {
    /// As it is now.
    pub user: Arc<User>,
    /// What ended with it; `None` if there was nothing to do.
    pub ended: Option<Ended>,
}

async fn changed(app: &Services, user: &UserId, ended: Option<Ended>) -> Result<Changed, ServiceError> {
    let user = app.store.user(user).await?.ok_or(ServiceError::UserNotFound)?;
    Ok(Changed { user, ended })
}

/// Sets a password and ends all sessions of the user.
///
/// # Errors
/// `Password`, `UserNotFound`, `Busy`.
pub async fn set_password(
    app: &Services,
    user: &User,
    password: &SecretString,
    temporary: bool,
    mut act: Act,
) -> Result<Changed, ServiceError> {
    let own = OwnWords { email: &user.email, name: &user.name };
    let hash = passwords::accept(app, password, own, None).await?;
    let now = app.clock.now();
    act.at = now;
    let credential = Credential {
        id: random::account_id(&*app.entropy),
        user: user.id.clone(),
        hash,
        created_at: now,
        updated_at: now,
    };
    let event = Event::new(EventKind::PasswordSet).with("temporary", &temporary);
    let ended = app.store.set_password(credential, temporary, None, act, event).await?;
    changed(app, &user.id, Some(ended)).await
}

/// Shuts an account for good: no sign-in, no session.
///
/// # Errors
/// `UserNotFound`.
pub async fn disable(app: &Services, user: &UserId, act: Act) -> Result<Changed, ServiceError> {
    let current = app.store.user(user).await?.ok_or(ServiceError::UserNotFound)?;
    // Another reason for the same ban is no other state.
    if is_disabled(&current) {
        return Ok(Changed { user: current, ended: None });
    }
    let ban = Some(Ban { reason: act.reason.clone(), expires_at: None });
    let ended = app.store.set_ban(user.clone(), ban, act, Event::new(EventKind::UserDisabled)).await?;
    changed(app, user, ended).await
}

/// Whether an account is shut for good.
pub fn is_disabled(user: &User) -> bool {
    user.ban.as_ref().is_some_and(|ban| ban.expires_at.is_none())
}

/// Opens an account again. Sessions that ended stay ended.
///
/// # Errors
/// `UserNotFound`.
pub async fn enable(app: &Services, user: &UserId, act: Act) -> Result<Changed, ServiceError> {
    let ended = app.store.set_ban(user.clone(), None, act, Event::new(EventKind::UserEnabled)).await?;
    changed(app, user, ended).await
}

/// Deletes an account with everything that belongs to it.
///
/// # Errors
/// `UserNotFound`.
pub async fn delete(app: &Services, user: &UserId, act: Act) -> Result<Ended, ServiceError> {
    Ok(app.store.delete_user(user.clone(), None, act, Event::new(EventKind::UserDeleted)).await?)
}
