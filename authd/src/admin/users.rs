//! Accounts.

use common::{
    ErrorCode, Span, UnixTime,
    admin::{BanUser, CreateUser, Page, SetPassword, SetRole, UserChanged, UserView},
};
use http::StatusCode;

use super::{AdminApp, AdminError, AdminReq, fields::of_user};
use crate::{
    domain::{Ban, EventKind, HashScheme, PasswordProblem, Role, User},
    door::Reply,
    service::{
        ServiceError, fields,
        usernames::GivenUsername,
        users::{self, Changed, NewAccount},
    },
    store::UserQuery,
};

fn view(app: &AdminApp, user: &User, now: UnixTime) -> UserView {
    let ban = user.active_ban(now);
    UserView {
        id: user.id.clone(),
        email: user.email.to_string(),
        name: user.name.clone(),
        email_verified: user.email_verified,
        image: user.image.clone(),
        username: user.username.clone(),
        display_username: user.display_username.clone(),
        role: user.role.clone(),
        banned: ban.is_some(),
        ban_reason: ban.and_then(|ban| ban.reason.clone()),
        ban_expires: ban.and_then(|ban| ban.expires_at),
        password_change_required: user.password_change_required,
        password: None,
        sessions: None,
        created_at: user.created_at,
        updated_at: user.updated_at,
        fields: fields::all(&app.services.policy.user_fields, &user.fields),
    }
}

fn as_changed(app: &AdminApp, changed: &Changed) -> UserChanged {
    let user = view(app, &changed.user, app.services.clock.now());
    let ended_sessions = changed.ended.unwrap_or_default().sessions;
    UserChanged { user, changed: changed.ended.is_some(), ended_sessions, dry_run: false, notes: vec![] }
}

fn changed(app: &AdminApp, changed: &Changed) -> Reply {
    Reply::json(&as_changed(app, changed))
}

async fn preview(app: &AdminApp, user: &User, changes: bool) -> Result<Reply, AdminError> {
    let ended_sessions = users::sessions_of(&app.services, &user.id).await?;
    let user = view(app, user, app.services.clock.now());
    Ok(Reply::json(&UserChanged { user, changed: changes, ended_sessions, dry_run: true, notes: vec![] }))
}

fn is_dry_run(req: &AdminReq) -> Result<bool, AdminError> {
    Ok(req.query::<bool>("dry_run")?.unwrap_or(false))
}

/// An account whose role is not plain `user` has power in some application: who makes one, or takes one over by its password,
/// has that power. Which words mean power only the applications know, so every other word does.
pub(super) fn require_for_role(app: &AdminApp, req: &AdminReq, role: &str) -> Result<(), AdminError> {
    let plain = app.services.policy.default_role();
    // Who has no role counts as who has the plain one.
    if role == plain || role.is_empty() {
        return Ok(());
    }
    req.require(Role::Admin, &format!("{} {}, on an account whose role is not {plain}", req.head.method, req.route))
}

/// How long a password may be is said in numbers: they are the configuration's.
fn refused(app: &AdminApp, error: ServiceError) -> AdminError {
    let policy = &app.services.policy.password;
    let cause = match &error {
        ServiceError::Password(PasswordProblem::TooShort) => {
            format!("it has fewer than {} characters", policy.min_length)
        }
        ServiceError::Password(PasswordProblem::TooLong) => {
            format!("it has more than {} characters", policy.max_length)
        }
        _ => return error.into(),
    };
    AdminError::from(error).cause(cause)
}

/// `GET /v1/users?search=&banned=&cursor=&limit=`
///
/// # Errors
/// `ValidationError`.
pub async fn list(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let query = UserQuery {
        contains: req.head.query("search").filter(|text| !text.is_empty()),
        banned: req.query("banned")?,
        after: req.head.query("cursor"),
        limit: req.limit()?,
    };
    let page = users::list(&app.services, query).await?;
    let now = app.services.clock.now();
    Ok(Reply::json(&Page { items: page.items.iter().map(|user| view(app, user, now)).collect(), next: page.next }))
}

/// `POST /v1/users`
///
/// # Errors
/// `ValidationError`, `InvalidEmail`, the rules of passwords, `UserAlreadyExists`.
pub async fn create(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: CreateUser = req.json()?;
    let email = wanted.email.parse().map_err(|_| {
        let cause = format!("'{}' is no e-mail address", wanted.email);
        AdminError::new(ErrorCode::InvalidEmail).cause(cause).fix("write it as ada@example.com")
    })?;
    require_for_role(app, &req, wanted.role.as_deref().unwrap_or(app.services.policy.default_role()))?;
    wanted.role.as_deref().map_or(Ok(()), |role| users::check_roles(&app.services, role))?;
    let fields = of_user(app, &req, &wanted.fields)?;
    let account = NewAccount {
        email,
        name: wanted.name,
        password: wanted.password,
        temporary: wanted.temporary,
        email_verified: wanted.email_verified,
        role: wanted.role,
        fields,
        username: GivenUsername { username: wanted.username.map(Some), display: None },
        image: None,
        ban: None,
    };
    let now = app.services.clock.now();
    let user = users::create(&app.services, account, req.act(now)).await.map_err(|e| refused(app, e))?;
    req.log_done(EventKind::UserCreated, user.id.as_str());
    Ok(Reply::json(&view(app, &user, now)).status(StatusCode::CREATED))
}

/// `GET /v1/users/{user}`
///
/// # Errors
/// `UserNotFound`, `AmbiguousUser`.
pub async fn show(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let user = users::find(services, req.param("user")).await?;
    let (scheme, sessions) = users::about(services, &user.id).await?;
    let password = scheme.map_or("none", HashScheme::as_str);
    let view = view(app, &user, services.clock.now());
    Ok(Reply::json(&UserView { password: Some(password.into()), sessions: Some(sessions), ..view }))
}

/// `POST /v1/users/{user}/password`
///
/// # Errors
/// The rules of passwords, `UserNotFound`.
pub async fn set_password(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: SetPassword = req.json()?;
    let user = users::find(&app.services, req.param("user")).await?;
    require_for_role(app, &req, &user.role)?;
    let act = req.act(app.services.clock.now());
    let done = users::set_password(&app.services, &user, &wanted.password, wanted.temporary, None, act).await;
    let done = done.map_err(|e| refused(app, e))?;
    req.log_done(EventKind::PasswordSet, user.id.as_str());
    Ok(changed(app, &done))
}

/// `POST /v1/users/{user}/disable?dry_run=`
///
/// # Errors
/// `UserNotFound`.
pub async fn disable(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let user = users::find(&app.services, req.param("user")).await?;
    require_for_role(app, &req, &user.role)?;
    if is_dry_run(&req)? {
        return preview(app, &user, !users::is_disabled(&user)).await;
    }
    let done = users::disable(&app.services, &user.id, req.act(app.services.clock.now())).await?;
    if done.ended.is_some() {
        req.log_done(EventKind::UserDisabled, user.id.as_str());
    }
    Ok(changed(app, &done))
}

/// `POST /v1/users/{user}/ban?dry_run=`: with the operator's reason, for good or for some time.
///
/// # Errors
/// `ValidationError`, `UserNotFound`.
pub async fn ban(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: BanUser = req.json()?;
    let user = users::find(&app.services, req.param("user")).await?;
    require_for_role(app, &req, &user.role)?;
    let now = app.services.clock.now();
    let ban =
        Ban { reason: req.reason.clone(), expires_at: wanted.expires_in.map(|secs| now.plus(Span::from_secs(secs))) };
    if ban.expires_at.is_some_and(|end| end <= now) {
        return Err(AdminError::validation("a ban lasts for some time, a second at least (expiresIn)"));
    }
    if is_dry_run(&req)? {
        return preview(app, &user, user.ban.as_ref() != Some(&ban)).await;
    }
    let done = users::ban(&app.services, &user.id, ban, req.act(now)).await?;
    if done.ended.is_some() {
        req.log_done(EventKind::UserDisabled, user.id.as_str());
    }
    Ok(changed(app, &done))
}

/// `POST /v1/users/{user}/role?dry_run=`: in place of the roles before.
///
/// # Errors
/// `ValidationError`, `NoSuchRole`, `UserNotFound`.
pub async fn set_role(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let SetRole { role } = req.json()?;
    let user = users::find(&app.services, req.param("user")).await?;
    require_for_role(app, &req, &user.role)?;
    require_for_role(app, &req, &role)?;
    users::check_roles(&app.services, &role)?;
    if is_dry_run(&req)? {
        let as_it_would_be = User { role: role.clone(), ..User::clone(&user) };
        let view = view(app, &as_it_would_be, app.services.clock.now());
        let changed = user.role != role;
        let notes = role_notes(app, &role);
        return Ok(Reply::json(&UserChanged { user: view, changed, ended_sessions: 0, dry_run: true, notes }));
    }
    if user.role == role {
        return Ok(changed(app, &Changed { user, ended: None }));
    }
    let notes = role_notes(app, &role);
    let done = users::set_role(&app.services, &user.id, role, req.act(app.services.clock.now())).await?;
    req.log_done(EventKind::RoleSet, user.id.as_str());
    Ok(Reply::json(&UserChanged { notes, ..as_changed(app, &done) }))
}

/// Which roles there are authd knows by `admin_plugin.roles` only: without that, a slip of the pen is a role too.
fn role_notes(app: &AdminApp, role: &str) -> Vec<String> {
    let policy = &app.services.policy;
    let is_known = |role: &str| {
        role == policy.default_role()
            || policy.admin.as_ref().is_some_and(|rules| match &rules.roles {
                Some(_) => rules.knows(role),
                None => role == "admin" || rules.admin_roles.iter().any(|known| known == role),
            })
    };
    let unknown: Vec<&str> = role.split(',').filter(|role| !is_known(role)).collect();
    let note = || format!("authd does not know what {} may: it is no role of admin_plugin", unknown.join(", "));
    (!unknown.is_empty()).then(note).into_iter().collect()
}

/// `POST /v1/users/{user}/enable`
///
/// # Errors
/// `UserNotFound`.
pub async fn enable(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let user = users::find(&app.services, req.param("user")).await?;
    require_for_role(app, &req, &user.role)?;
    let done = users::enable(&app.services, &user.id, req.act(app.services.clock.now())).await?;
    if done.ended.is_some() {
        req.log_done(EventKind::UserEnabled, user.id.as_str());
    }
    Ok(changed(app, &done))
}

/// `DELETE /v1/users/{user}?dry_run=`
///
/// # Errors
/// `UserNotFound`.
pub async fn delete(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let user = users::find(&app.services, req.param("user")).await?;
    if is_dry_run(&req)? {
        return preview(app, &user, true).await;
    }
    let now = app.services.clock.now();
    let ended = users::delete(&app.services, &user.id, req.act(now)).await?;
    req.log_done(EventKind::UserDeleted, user.id.as_str());
    let body = UserChanged {
        user: view(app, &user, now),
        changed: true,
        ended_sessions: ended.sessions,
        dry_run: false,
        notes: vec![],
    };
    Ok(Reply::json(&body))
}
