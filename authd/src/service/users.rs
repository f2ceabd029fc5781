//! What operators do to accounts.

use std::sync::Arc;

use common::{Email, SecretString, SessionId, UserId};

use super::{
    ServiceError, Services, fields,
    passwords::{self, OwnWords},
    random,
    usernames::{self, GivenUsername},
};
use crate::{
    domain::{
        Act, Ban, Credential, Event, EventKind, GivenFields, HashScheme, User,
        permission::{MAX_ROLE_BYTES, is_role},
    },
    store::{Amendment, AuditQuery, Ended, Page, UserQuery},
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
    /// The application's fields. An operator may set all of them.
    pub fields: GivenFields,
    /// The name to sign in with, while the username plugin is on.
    pub username: GivenUsername,
    /// Address of a picture.
    pub image: Option<String>,
    /// A ban from the beginning.
    pub ban: Option<Ban>,
}

/// Makes an account. Rules for passwords hold here as well.
///
/// # Errors
/// `InvalidName`, `InvalidRole`, `Field`, `Password`, `UserExists`, `Busy`.
pub async fn create(app: &Services, wanted: NewAccount, mut act: Act) -> Result<Arc<User>, ServiceError> {
    passwords::check_name(&wanted.name)?;
    wanted.image.as_deref().map_or(Ok(()), passwords::check_image)?;
    let role = wanted.role.unwrap_or_else(|| app.policy.default_role().to_owned());
    let (username, display_username) = usernames::of_new(app, wanted.username).await?;
    let values = app.policy.user_fields.begin(wanted.fields).map_err(ServiceError::Field)?;
    fields::check(&values, User::MAX_FIELD_BYTES)?;
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
        image: wanted.image,
        username,
        display_username,
        fields: values,
        role,
        ban: wanted.ban,
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

/// Whether the text may be a user's roles: one, or some separated by commas.
///
/// # Errors
/// `InvalidRole`; `NoSuchRole` where the admin plugin knows all there are.
pub fn check_roles(app: &Services, roles: &str) -> Result<(), ServiceError> {
    if roles.len() > MAX_ROLE_BYTES || !roles.split(',').all(is_role) {
        return Err(ServiceError::InvalidRole);
    }
    match &app.policy.admin {
        Some(rules) if !roles.split(',').all(|role| rules.knows(role)) => Err(ServiceError::NoSuchRole),
        _ => Ok(()),
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

/// The user by id, e-mail address, username or, if only one has it, display name or the part of the address before the `@`.
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
    // Who has the username is one of those who are meant, and not the one: another may have it as a display name.
    let mut found: Vec<Arc<User>> = app.store.user_by_username(&name).await?.into_iter().collect();
    let named = found.first().map(|user| user.id.clone());
    let mut query = UserQuery { contains: Some(name.clone()), limit: 1000, ..UserQuery::default() };
    // To the end: the one that is meant may stand on any page, and a second one on the last.
    loop {
        let page = app.store.users(query.clone()).await?;
        let is_meant = |user: &Arc<User>| {
            Some(&user.id) != named.as_ref() && (user.name.to_lowercase() == name || user.email.local_part() == name)
        };
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

/// The address of a user, for operators, whom an id tells little; `None` if there is no such account.
///
/// # Errors
/// The store cannot be read.
pub async fn address_of(app: &Services, user: Option<&UserId>) -> Result<Option<String>, ServiceError> {
    let Some(user) = user else { return Ok(None) };
    Ok(app.store.user(user).await?.map(|user| user.email.to_string()))
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

/// Sets a password and ends all sessions of the user, but perhaps one.
///
/// # Errors
/// `Password`, `UserNotFound`, `Busy`.
pub async fn set_password(
    app: &Services,
    user: &User,
    password: &SecretString,
    temporary: bool,
    keep: Option<&SessionId>,
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
    let ended = app.store.set_password(credential, temporary, keep.cloned(), act, event).await?;
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
    let wanted = Ban { reason: act.reason.clone(), expires_at: None };
    ban(app, user, wanted, act).await
}

/// Bans a user: no sign-in and no session until the ban ends. Another reason or end is another ban.
///
/// # Errors
/// `UserNotFound`.
pub async fn ban(app: &Services, user: &UserId, ban: Ban, act: Act) -> Result<Changed, ServiceError> {
    let event = Event::new(EventKind::UserDisabled);
    let event = match ban.expires_at {
        Some(end) => event.with("until", &end),
        None => event,
    };
    let ended = app.store.set_ban(user.clone(), Some(ban), act, event).await?;
    changed(app, user, ended).await
}

/// Gives a user roles, in place of those before.
///
/// # Errors
/// `UserNotFound`.
pub async fn set_role(app: &Services, user: &UserId, role: String, act: Act) -> Result<Changed, ServiceError> {
    let event = Event::new(EventKind::RoleSet).with("role", &role);
    let amendment = Amendment { role: Some(role), ..Amendment::default() };
    let ended = app.store.amend_user(user.clone(), amendment, act, event).await?;
    changed(app, user, Some(ended)).await
}

/// Changes what operators and administrators may change of an account.
///
/// # Errors
/// `UserNotFound`, `UserExists`, `UsernameTaken`.
pub async fn amend(app: &Services, user: &UserId, amendment: Amendment, act: Act) -> Result<Changed, ServiceError> {
    let Amendment { profile, email, email_verified, role, ban } = &amendment;
    let named = [
        ("name", profile.name.is_some()),
        ("image", profile.image.is_some()),
        ("username", profile.username.is_some()),
        ("displayUsername", profile.display_username.is_some()),
        ("email", email.is_some()),
        ("emailVerified", email_verified.is_some()),
        ("role", role.is_some()),
        ("ban", ban.is_some()),
    ];
    let named = named.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name);
    let names: Vec<&str> = named.chain(profile.fields.keys().map(String::as_str)).collect();
    let event = Event::new(EventKind::UserUpdated).with("fields", &names.join(", "));
    let event = match role {
        Some(role) => event.with("role", role),
        None => event,
    };
    let ended = app.store.amend_user(user.clone(), amendment, act, event).await?;
    changed(app, user, Some(ended)).await
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
