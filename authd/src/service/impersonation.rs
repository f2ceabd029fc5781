//! Administrators who act as other users (Better Auth's admin plugin, AZ-07). Such a session says who acts, in its record, its
//! tokens and the audit trail; it is short, cannot be prolonged and has no refresh tokens; what only the user may do is refused
//! in it; and it lives no longer than the session from which it was begun, nor than the right to begin it.

use common::UnixTime;

use super::{
    Requester, ServiceError, Services,
    administration::{Administrator, Who},
    sessions::{self, Found, Opened, Wish},
};
use crate::{
    domain::{AdminRules, Event, EventKind, Impersonation, Permission, SessionState, User},
    store::{Ending, Live, StoreError},
};

/// What was found, if it is a session of the user; or one of an administrator who still may act as the user.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn judge(app: &Services, found: Found, now: UnixTime) -> Result<Found, ServiceError> {
    let Found::Alive(live) = found else { return Ok(found) };
    let Some(impersonation) = &live.session.impersonation else { return Ok(Found::Alive(live)) };
    let from = app.store.session(&impersonation.from).await?;
    let stands = from.is_some_and(|from| {
        let rules = app.policy.admin.as_ref();
        from.user.id == impersonation.by
            && from.session.state(now) == SessionState::Active
            && from.user.active_ban(now).is_none()
            && rules.is_some_and(|rules| may_act_as(rules, &from.user, &live.user))
    });
    Ok(if stands { Found::Alive(live) } else { Found::Nothing })
}

fn may_act_as(rules: &AdminRules, admin: &User, user: &User) -> bool {
    let reaches_admins = || rules.allow_impersonating_admins || rules.may(admin, Permission::IMPERSONATE_ADMINS);
    rules.may(admin, Permission::IMPERSONATE) && (!rules.is_admin(user) || reaches_admins())
}

/// Opens a session in which the administrator acts as the user. The administrator's own session stays.
///
/// # Errors
/// `NotPermitted`, `UserNotFound`, `MayNotImpersonate`, `Banned`.
pub async fn begin(
    app: &Services,
    admin: &Administrator<'_>,
    user: &str,
    requester: &Requester,
) -> Result<Opened, ServiceError> {
    admin.require(Permission::IMPERSONATE)?;
    let Who::User(live) = admin.who else { return Err(ServiceError::OutOfScope(None)) };
    let user = admin.user(app, user).await?;
    if !may_act_as(admin.rules, &live.user, &user) {
        return Err(ServiceError::MayNotImpersonate);
    }
    let now = app.clock.now();
    if user.active_ban(now).is_some() {
        return Err(app.policy.banned());
    }
    let wish = Wish::default();
    let (mut new, opening) = sessions::prepare(app, &user.id, &wish, requester, now);
    let end = now.plus(admin.rules.impersonation);
    let (by, from) = (live.user.id.clone(), live.session.id.clone());
    new.session.expires_at = end;
    new.session.absolute_expires_at = end;
    new.session.impersonation = Some(Impersonation { by, from });
    // It takes no session of the user's away.
    new.max_per_user = usize::MAX;
    let session = new.session.clone();
    let event = Event::new(EventKind::ImpersonationBegun).user(&user.id).session(&session.id);
    match app.store.open_session(new, user.epoch, None, requester.act_in(live, now), event).await {
        Err(StoreError::NoSuchUser) => Err(ServiceError::UserNotFound),
        outcome => Ok(outcome.map(|()| opening.opened_as(session, user))?),
    }
}

/// What became of the wish to act as oneself again.
pub enum Stopped {
    /// The administrator's own session.
    Own(Live),
    /// Nobody was acted as.
    WasNone,
    /// The session that the browser kept for it is not the one.
    NotFound,
}

/// Ends the session in which an administrator acts as a user, if the browser shows the one that it was begun from.
///
/// # Errors
/// It could not be made durable.
pub async fn end(
    app: &Services,
    live: &Live,
    own_token: Option<&str>,
    requester: &Requester,
) -> Result<Stopped, ServiceError> {
    let Some(impersonation) = &live.session.impersonation else { return Ok(Stopped::WasNone) };
    let Some(token) = own_token else { return Ok(Stopped::NotFound) };
    let own = match sessions::by_token(app, token).await? {
        Found::Alive(own) if own.session.id == impersonation.from => own,
        Found::Alive(_) | Found::Expired(_) | Found::Nothing => return Ok(Stopped::NotFound),
    };
    let act = requester.act_in(live, app.clock.now());
    let which = Ending::These(vec![live.session.id.clone()]);
    app.store.end_sessions(which, None, act, Event::new(EventKind::ImpersonationEnded)).await?;
    Ok(Stopped::Own(own))
}
