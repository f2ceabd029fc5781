//! What administrators among the users, and services, do to other accounts (Better Auth's admin plugin): the use cases of
//! operators, each behind a permission. A user acts by a session of the own, never as somebody else; a service by its token.

use std::sync::Arc;

use common::{Email, Scope, SecretString, SessionId, Span, UnixTime, UserId};

use super::{
    Requester, ServiceError, Services, fields,
    passwords::{check_image, check_name},
    sessions::{self, Found},
    usernames::{self, GivenUsername},
    users::{self, Changed, NewAccount},
};
use crate::{
    domain::{
        Act, Actor, AdminRules, Ban, FieldChanges, GivenFields, Method, Permission, ServiceToken, Session,
        SessionState, Statements, User, UserSearch,
        permission::{MAX_ROLE_BYTES, is_role},
        user::MAX_REASON,
    },
    store::{Amendment, Ending, Listed, Live, Profile},
};

/// Who acts.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// A user, by this session.
    User(&'a Live),
    /// A service, by its token.
    Service(&'a ServiceToken),
}

/// Somebody who asks for something that administrators may.
pub struct Administrator<'a> {
    /// Who.
    pub who: Who<'a>,
    pub(super) rules: &'a AdminRules,
    requester: &'a Requester,
}

impl<'a> Administrator<'a> {
    /// Who asks; `None` while the plugin is off.
    pub fn new(app: &'a Services, who: Who<'a>, requester: &'a Requester) -> Option<Self> {
        Some(Self { who, rules: app.policy.admin.as_ref()?, requester })
    }

    /// Whether the user's roles, or the scopes of the service, allow all of this. Who acts as somebody else may nothing: what
    /// administrators do they do as themselves (AZ-07).
    pub fn allows(&self, asked: &Statements) -> bool {
        match self.who {
            Who::User(live) => live.session.impersonation.is_none() && self.rules.allows(&live.user, asked),
            Who::Service(token) => token.allows(asked),
        }
    }

    /// That the user's roles, or the scopes of the service, allow this.
    ///
    /// # Errors
    /// `NotPermitted`, `OutOfScope`.
    pub(super) fn require(&self, permission: Permission) -> Result<(), ServiceError> {
        let live = match self.who {
            Who::User(live) => live,
            Who::Service(token) if token.may(permission) => return Ok(()),
            Who::Service(_) => return Err(ServiceError::OutOfScope(permission.scope())),
        };
        let may = live.session.impersonation.is_none() && self.rules.may(&live.user, permission);
        if may { Ok(()) } else { Err(ServiceError::NotPermitted(permission)) }
    }

    /// That who asks may change this user: a service does nothing to administrators unless its token says so.
    ///
    /// # Errors
    /// `OutOfScope`.
    fn require_reach(&self, user: &User) -> Result<(), ServiceError> {
        match self.who {
            Who::Service(token) if !token.scopes.contains(&Scope::Admins) && self.rules.is_privileged(user) => {
                Err(ServiceError::OutOfScope(Some(Scope::Admins)))
            }
            Who::Service(_) | Who::User(_) => Ok(()),
        }
    }

    /// That who asks may give a user this role: a service makes nobody an administrator unless its token says so.
    ///
    /// # Errors
    /// `OutOfScope`.
    fn require_reach_of_role(&self, role: &str) -> Result<(), ServiceError> {
        match self.who {
            Who::Service(token) if !token.scopes.contains(&Scope::Admins) && self.rules.gives_privilege(role) => {
                Err(ServiceError::OutOfScope(Some(Scope::Admins)))
            }
            Who::Service(_) | Who::User(_) => Ok(()),
        }
    }

    /// The user of this id, who may be changed by who asks.
    ///
    /// # Errors
    /// `UserNotFound`, `OutOfScope`.
    async fn within_reach(&self, app: &Services, id: &str) -> Result<Arc<User>, ServiceError> {
        let user = self.user(app, id).await?;
        self.require_reach(&user)?;
        Ok(user)
    }

    /// Whether that is the one who asks.
    fn is_self(&self, user: &User) -> bool {
        matches!(self.who, Who::User(live) if live.user.id == user.id)
    }

    /// The user of this id.
    ///
    /// # Errors
    /// `UserNotFound`.
    pub(super) async fn user(&self, app: &Services, id: &str) -> Result<Arc<User>, ServiceError> {
        let id: UserId = id.parse().map_err(|_| ServiceError::UserNotFound)?;
        app.store.user(&id).await?.ok_or(ServiceError::UserNotFound)
    }

    fn act(&self, app: &Services) -> Act {
        let now = app.clock.now();
        match self.who {
            Who::User(live) => self.requester.act_in(live, now),
            Who::Service(token) => self.requester.act(Actor::Service(token.name.clone()), Method::ServiceToken, now),
        }
    }

    /// The roles in one text, if there are such roles.
    fn roles(&self, roles: &[String]) -> Result<String, ServiceError> {
        if !roles.iter().all(|role| self.rules.knows(role)) {
            return Err(ServiceError::NoSuchRole);
        }
        let text = roles.join(",");
        // One may also be a list; none at all is the default role.
        let are_roles = text.is_empty() || text.split(',').all(is_role);
        if are_roles && text.len() <= MAX_ROLE_BYTES { Ok(text) } else { Err(ServiceError::InvalidRole) }
    }
}

/// A part of the list of all users.
///
/// # Errors
/// `NotPermitted`. What could never be found is an empty list.
pub async fn list(
    app: &Services,
    admin: &Administrator<'_>,
    search: Option<UserSearch>,
) -> Result<Listed, ServiceError> {
    admin.require(Permission::LIST)?;
    match search {
        Some(search) => Ok(app.store.find_users(search).await?),
        None => Ok(Listed::default()),
    }
}

/// One user.
///
/// # Errors
/// `NotPermitted`, `UserNotFound`.
pub async fn get(app: &Services, admin: &Administrator<'_>, id: &str) -> Result<Arc<User>, ServiceError> {
    admin.require(Permission::GET)?;
    admin.user(app, id).await
}

/// What a ban is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedBan {
    /// Whether there is to be one.
    pub banned: Option<bool>,
    /// Why; `Some(None)` takes the reason away.
    pub reason: Option<Option<String>>,
    /// Until when; `Some(None)` is for good.
    pub expires: Option<Option<UnixTime>>,
}

impl WantedBan {
    fn is_asked(&self) -> bool {
        *self != Self::default()
    }

    /// The ban of a user who has `current` so far. Without a ban there is no reason and no end.
    fn after(self, current: Option<&Ban>) -> Option<Ban> {
        let is_banned = self.banned.unwrap_or(current.is_some());
        let (reason, expires_at) = current.map(|ban| (ban.reason.clone(), ban.expires_at)).unwrap_or_default();
        is_banned.then(|| Ban { reason: self.reason.unwrap_or(reason), expires_at: self.expires.unwrap_or(expires_at) })
    }
}

/// A reason that fits the record.
fn check_reason(reason: Option<&str>) -> Result<(), ServiceError> {
    match reason.map_or(0, |reason| reason.chars().count()) {
        0..=MAX_REASON => Ok(()),
        _ => Err(ServiceError::InvalidName("the reason of a ban has more than 500 characters")),
    }
}

/// The roles that a request gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GivenRoles {
    /// Nothing is said.
    #[default]
    None,
    /// These.
    Roles(Vec<String>),
    /// Something that is no role.
    WrongType,
}

/// An account that an administrator makes.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `None` if the text is no address.
    pub email: Option<Email>,
    /// Display name.
    pub name: String,
    /// Without one nobody can sign in until one is set.
    pub password: Option<SecretString>,
    /// The roles.
    pub roles: GivenRoles,
    /// Whether the address counts as proved.
    pub email_verified: bool,
    /// Address of a picture.
    pub image: Option<String>,
    /// The application's fields. An administrator may set all of them.
    pub fields: GivenFields,
    /// The name to sign in with.
    pub username: GivenUsername,
    /// A ban from the beginning.
    pub ban: WantedBan,
}

/// Makes an account. Rules for passwords hold here as well (AU-05).
///
/// # Errors
/// `NotPermitted`, `NoSuchRole`, `InvalidEmail`, `UserExists`, and what [`users::create`] refuses.
pub async fn create(app: &Services, admin: &Administrator<'_>, wanted: Wanted) -> Result<Arc<User>, ServiceError> {
    admin.require(Permission::CREATE)?;
    let role = match &wanted.roles {
        GivenRoles::None => None,
        GivenRoles::Roles(roles) => {
            admin.require(Permission::SET_ROLE)?;
            Some(admin.roles(roles)?)
        }
        GivenRoles::WrongType => return Err(ServiceError::InvalidRole),
    };
    admin.require_reach_of_role(role.as_deref().unwrap_or_default())?;
    if wanted.ban.is_asked() {
        admin.require(Permission::BAN)?;
    }
    check_reason(wanted.ban.reason.as_ref().and_then(Option::as_deref))?;
    let account = NewAccount {
        email: wanted.email.ok_or(ServiceError::InvalidEmail)?,
        name: wanted.name,
        image: wanted.image,
        password: wanted.password,
        temporary: false,
        email_verified: wanted.email_verified,
        role,
        fields: wanted.fields,
        username: wanted.username,
        ban: wanted.ban.after(None),
    };
    users::create(app, account, admin.act(app)).await
}

/// What is to change of a user. What is absent stays.
#[derive(Debug, Default)]
pub struct Change {
    /// The display name.
    pub name: Option<String>,
    /// The address of a picture.
    pub image: Option<Option<String>>,
    /// The address; `Some(None)` if the text is none.
    pub email: Option<Option<Email>>,
    /// Whether it is proved.
    pub email_verified: Option<bool>,
    /// Whether a telephone number is given. There is no such field, but a permission for it.
    pub has_phone: bool,
    /// The roles.
    pub roles: GivenRoles,
    /// The application's fields.
    pub fields: FieldChanges,
    /// The name to sign in with.
    pub username: GivenUsername,
    /// The ban.
    pub ban: WantedBan,
}

/// Changes a user. The permissions for what is changed are asked for before it is known whether there is such a user.
///
/// # Errors
/// `NotPermitted`, `NoSuchRole`, `InvalidRole`, `InvalidEmail`, `UserNotFound`, `MayNotBanYourself`, `UserExists`,
/// `UsernameTaken`, and what is wrong with the values.
pub async fn update(
    app: &Services,
    admin: &Administrator<'_>,
    id: &str,
    change: Change,
) -> Result<Arc<User>, ServiceError> {
    let role = match &change.roles {
        GivenRoles::None => None,
        roles => {
            admin.require(Permission::SET_ROLE)?;
            let GivenRoles::Roles(roles) = roles else { return Err(ServiceError::InvalidRole) };
            Some(admin.roles(roles)?)
        }
    };
    if change.email.is_some() || change.email_verified.is_some() {
        admin.require(Permission::SET_EMAIL)?;
    }
    if change.has_phone {
        admin.require(Permission::SET_PHONE)?;
    }
    if change.ban.is_asked() {
        admin.require(Permission::BAN)?;
    }
    let email = change.email.map(|email| email.ok_or(ServiceError::InvalidEmail)).transpose()?;
    change.name.as_deref().map_or(Ok(()), check_name)?;
    change.image.iter().flatten().try_for_each(|image| check_image(image))?;
    check_reason(change.ban.reason.as_ref().and_then(Option::as_deref))?;
    role.as_deref().map_or(Ok(()), |role| admin.require_reach_of_role(role))?;
    let user = admin.within_reach(app, id).await?;
    if change.ban.banned == Some(true) && admin.is_self(&user) {
        return Err(ServiceError::MayNotBanYourself);
    }
    fields::check(&user.fields.changed(&change.fields), User::MAX_FIELD_BYTES)?;
    let GivenUsername { username, display } = usernames::changes(app, Some(&user), change.username).await?;
    let ban = change.ban.is_asked().then(|| change.ban.after(user.ban.as_ref()));
    let profile =
        Profile { name: change.name, image: change.image, fields: change.fields, username, display_username: display };
    let amendment = Amendment { profile, email, email_verified: change.email_verified, role, ban };
    Ok(users::amend(app, &user.id, amendment, admin.act(app)).await?.user)
}

/// Whether the caller may change users at all: asked before what is to be changed.
///
/// # Errors
/// `NotPermitted`.
pub fn may_update(admin: &Administrator<'_>) -> Result<(), ServiceError> {
    admin.require(Permission::UPDATE)
}

/// Gives a user roles.
///
/// # Errors
/// `NotPermitted`, `NoSuchRole`, `InvalidRole`, `UserNotFound`.
pub async fn set_role(
    app: &Services,
    admin: &Administrator<'_>,
    id: &str,
    roles: &[String],
) -> Result<Arc<User>, ServiceError> {
    admin.require(Permission::SET_ROLE)?;
    let role = admin.roles(roles)?;
    admin.require_reach_of_role(&role)?;
    let user = admin.within_reach(app, id).await?;
    Ok(users::set_role(app, &user.id, role, admin.act(app)).await?.user)
}

/// Bans a user and ends all sessions. A ban of no length is for good, as recorded.
///
/// # Errors
/// `NotPermitted`, `UserNotFound`, `MayNotBanYourself`.
pub async fn ban(
    app: &Services,
    admin: &Administrator<'_>,
    id: &str,
    reason: Option<String>,
    end: Option<UnixTime>,
) -> Result<Changed, ServiceError> {
    admin.require(Permission::BAN)?;
    check_reason(reason.as_deref())?;
    let user = admin.within_reach(app, id).await?;
    if admin.is_self(&user) {
        return Err(ServiceError::MayNotBanYourself);
    }
    let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| admin.rules.default_ban_reason.clone());
    users::ban(app, &user.id, Ban { reason: Some(reason), expires_at: end }, admin.act(app)).await
}

/// When a ban ends for which nothing is said.
pub fn default_end(app: &Services) -> Option<UnixTime> {
    let life: Span = app.policy.admin.as_ref()?.default_ban_expires_in?;
    Some(app.clock.now().plus(life))
}

/// Lifts a ban.
///
/// # Errors
/// `NotPermitted`, `UserNotFound`.
pub async fn unban(app: &Services, admin: &Administrator<'_>, id: &str) -> Result<Changed, ServiceError> {
    admin.require(Permission::BAN)?;
    let user = admin.within_reach(app, id).await?;
    users::enable(app, &user.id, admin.act(app)).await
}

/// The living sessions of a user, those of administrators who act as the user among them. Nobody has none.
///
/// # Errors
/// `NotPermitted`.
pub async fn sessions_of(
    app: &Services,
    admin: &Administrator<'_>,
    id: &str,
) -> Result<Vec<Arc<Session>>, ServiceError> {
    admin.require(Permission::LIST_SESSIONS)?;
    let Ok(id) = id.parse::<UserId>() else { return Ok(vec![]) };
    let now = app.clock.now();
    let mut found = app.store.sessions_of(&id).await?;
    found.retain(|session| session.state(now) == SessionState::Active);
    Ok(found)
}

/// Ends a session, if there is one by this handle.
///
/// # Errors
/// `NotPermitted`; it could not be made durable.
pub async fn revoke(app: &Services, admin: &Administrator<'_>, handle: &str) -> Result<(), ServiceError> {
    admin.require(Permission::REVOKE_SESSIONS)?;
    let Ok(id) = handle.parse::<SessionId>() else { return Ok(()) };
    if let Some(live) = app.store.session(&id).await? {
        admin.require_reach(&live.user)?;
    }
    sessions::revoke(app, Ending::These(vec![id]), None, admin.act(app)).await?;
    Ok(())
}

/// Ends all sessions of a user.
///
/// # Errors
/// `NotPermitted`; it could not be made durable.
pub async fn revoke_all(app: &Services, admin: &Administrator<'_>, id: &str) -> Result<(), ServiceError> {
    admin.require(Permission::REVOKE_SESSIONS)?;
    let Ok(user) = id.parse::<UserId>() else { return Ok(()) };
    if let Some(user) = app.store.user(&user).await? {
        admin.require_reach(&user)?;
    }
    sessions::revoke(app, Ending::OfUser { user, except: None }, None, admin.act(app)).await?;
    Ok(())
}

/// Deletes an account.
///
/// # Errors
/// `NotPermitted`, `UserNotFound`, `MayNotRemoveYourself`.
pub async fn remove(app: &Services, admin: &Administrator<'_>, id: &str) -> Result<(), ServiceError> {
    admin.require(Permission::DELETE)?;
    let user = admin.within_reach(app, id).await?;
    if admin.is_self(&user) {
        return Err(ServiceError::MayNotRemoveYourself);
    }
    users::delete(app, &user.id, admin.act(app)).await?;
    Ok(())
}

/// Sets a password and ends all sessions of the user; of the own, all but this one.
///
/// # Errors
/// `NotPermitted`, `Password`, `UserNotFound`, `Busy`.
pub async fn set_password(
    app: &Services,
    admin: &Administrator<'_>,
    id: &str,
    password: &SecretString,
) -> Result<(), ServiceError> {
    admin.require(Permission::SET_PASSWORD)?;
    // As recorded: before it is known whether there is such a user.
    app.policy.password.check_length(password.expose())?;
    let user = admin.within_reach(app, id).await?;
    let keep = match admin.who {
        Who::User(live) if live.user.id == user.id => Some(&live.session.id),
        Who::User(_) | Who::Service(_) => None,
    };
    users::set_password(app, &user, password, false, keep, admin.act(app)).await?;
    Ok(())
}

/// The session that a text stands for on the wire where the bearer plugin shows session tokens.
///
/// # Errors
/// The store cannot be read.
pub async fn handle_of(app: &Services, token: &str) -> Result<Option<SessionId>, ServiceError> {
    match sessions::by_token(app, token).await? {
        Found::Alive(live) | Found::Expired(live) => Ok(Some(live.session.id.clone())),
        Found::Nothing => Ok(None),
    }
}
