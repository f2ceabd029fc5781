//! What operators do to accounts.

use std::sync::Arc;

use common::{Email, SecretString, UserId};

use super::{
    ServiceError, Services,
    passwords::{self, OwnWords},
    random,
};
use crate::{
    domain::{Act, Ban, Credential, Event, EventKind, User, user::DEFAULT_ROLE},
    store::{Ended, UserQuery},
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
/// `InvalidName`, `Password`, `UserExists`, `Busy`.
pub async fn create(app: &Services, wanted: NewAccount, mut act: Act) -> Result<Arc<User>, ServiceError> {
    passwords::check_name(&wanted.name)?;
    let role = wanted.role.unwrap_or_else(|| DEFAULT_ROLE.into());
    passwords::check_name(&role)?;
    if app.store.user_by_email(&wanted.email).await?.is_some() {
        return Err(ServiceError::UserExists);
    }
    let own = OwnWords { email: &wanted.email, name: &wanted.name };
    let hash = match &wanted.password {
        Some(password) => Some(passwords::accept(app, password, own).await?),
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

/// How many candidates an ambiguous name lists.
const CANDIDATES: usize = 10;

/// The user by id, e-mail address or, if only one has it, display name or the part of the address before the `@`.
///
/// # Errors
/// `UserNotFound`, `AmbiguousUser`.
pub async fn find(app: &Services, reference: &str) -> Result<Arc<User>, ServiceError> {
    if let Ok(id) = reference.parse::<UserId>()
        && let Some(user) = app.store.user(&id).await?
    {
        return Ok(user);
    }
    if let Ok(email) = reference.parse::<Email>() {
        return app.store.user_by_email(&email).await?.ok_or(ServiceError::UserNotFound);
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
) -> Result<Ended, ServiceError> {
    let own = OwnWords { email: &user.email, name: &user.name };
    let hash = passwords::accept(app, password, own).await?;
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
    Ok(app.store.set_password(credential, temporary, None, act, event).await?)
}

/// Shuts an account for good: no sign-in, no session. `None` if it is shut already.
///
/// # Errors
/// `UserNotFound`.
pub async fn disable(app: &Services, user: &UserId, act: Act) -> Result<Option<Ended>, ServiceError> {
    let current = app.store.user(user).await?.ok_or(ServiceError::UserNotFound)?;
    // Another reason for the same ban is no other state.
    if current.ban.as_ref().is_some_and(|ban| ban.expires_at.is_none()) {
        return Ok(None);
    }
    let ban = Some(Ban { reason: act.reason.clone(), expires_at: None });
    Ok(app.store.set_ban(user.clone(), ban, act, Event::new(EventKind::UserDisabled)).await?)
}

/// Opens an account again. Sessions that ended stay ended. `None` if it is open already.
///
/// # Errors
/// `UserNotFound`.
pub async fn enable(app: &Services, user: &UserId, act: Act) -> Result<Option<Ended>, ServiceError> {
    Ok(app.store.set_ban(user.clone(), None, act, Event::new(EventKind::UserEnabled)).await?)
}

/// Deletes an account with everything that belongs to it.
///
/// # Errors
/// `UserNotFound`.
pub async fn delete(app: &Services, user: &UserId, act: Act) -> Result<Ended, ServiceError> {
    Ok(app.store.delete_user(user.clone(), act, Event::new(EventKind::UserDeleted)).await?)
}
