//! A new password for who has forgotten the old one, by a link to the account's address.

use common::{Email, SecretString, UnixTime};

use super::{
    Requester, ServiceError, Services,
    mail::{self, Wanted, letter, notice},
    passwords::{self, OwnWords},
    random,
};
use crate::{
    domain::{
        Act, Actor, Credential, Event, EventKind, Link, LinkState, Method, Purpose, User,
        mail::{Spent, Template},
    },
    store::StoreError,
};

/// Sends the link. An address without account is the same answer and the same work (AU-08).
///
/// # Errors
/// `MailOff`.
pub async fn request(app: &Services, email: &Email, target: &str, requester: &Requester) -> Result<(), ServiceError> {
    if !app.mail.is_on() {
        return Err(ServiceError::MailOff);
    }
    let user = app.store.user_by_email(email).await?;
    let now = app.clock.now();
    let may_send = mail::may_send(app, email, requester, now);
    let post = user.filter(|_| may_send).map(|user| {
        letter(app, Wanted { purpose: Purpose::ResetPassword, user: &user, new_email: None, claim: None, target }, now)
    });
    app.store.queue_mail(requester.act(Actor::Anonymous, Method::Session, now).with_post(post)).await?;
    mail::wake(app);
    Ok(())
}

async fn good(
    app: &Services,
    token: &str,
    now: UnixTime,
) -> Result<Option<(Link, std::sync::Arc<User>)>, ServiceError> {
    let Some(link) = app.store.link(&mail::digest(token)).await? else { return Ok(None) };
    let user = app.store.user(&link.user).await?;
    let is_good = link.state(user.as_deref(), Purpose::ResetPassword, now) == LinkState::Good;
    Ok(user.filter(|_| is_good).map(|user| (link, user)))
}

/// Whether the link would set a password now. Asking changes nothing (RC-05).
///
/// # Errors
/// The store cannot be read.
pub async fn is_good(app: &Services, token: &str) -> Result<bool, ServiceError> {
    Ok(good(app, token, app.clock.now()).await?.is_some())
}

/// Sets the password, and ends all sessions where the policy says so or nobody had proved the mailbox (RC-06, RC-07). It
/// signs nobody in and lifts no ban. The address is told.
///
/// # Errors
/// `Password`, `BadLink`, `Busy`. A password that is refused leaves the link good.
pub async fn reset(
    app: &Services,
    token: &str,
    password: &SecretString,
    requester: &Requester,
) -> Result<(), ServiceError> {
    app.policy.password.check_length(password.expose())?;
    let (link, user) = good(app, token, app.clock.now()).await?.ok_or(ServiceError::BadLink)?;
    let own = OwnWords { email: &user.email, name: &user.name };
    let hash = passwords::accept(app, password, own, requester.address).await?;
    let now = app.clock.now();
    let id = random::account_id(&*app.entropy);
    let credential = Credential { id, user: user.id.clone(), hash, created_at: now, updated_at: now };
    let told = app.mail.is_on().then(|| notice(app, Template::PasswordReset, Some(&user), &user.email, None, now));
    let spent = Spent { digest: link.digest, purpose: Purpose::ResetPassword };
    let by = requester.act(Actor::User(user.id.clone()), Method::MailLink, now).with_post(told);
    let act = Act { link: Some(spent), ..by };
    let keep = !app.policy.reset_ends_sessions;
    match app.store.reset_password(credential, keep, act, Event::new(EventKind::PasswordSet)).await {
        Ok(_) => mail::wake(app),
        Err(StoreError::NoSuchUser) => return Err(ServiceError::BadLink),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
