//! The users' addresses: proved by a link, changed by links.

use std::sync::Arc;

use common::{Email, Span, UnixTime};

use super::{
    Requester, ServiceError, Services, hooks,
    mail::{self, Wanted, letter, notice},
    own,
    sessions::{self, Opened, Opening, Wish},
};
use crate::{
    domain::{
        Act, Actor, Credential, Event, EventKind, Link, LinkState, Method, Post, Purpose, User,
        mail::{Claim, Spent, Template},
    },
    store::{Live, NewSession, StoreError},
};

/// The configured rules.
#[derive(Debug, Clone, Default)]
pub struct EmailPolicy {
    /// Whether nobody signs in who has not proved the mailbox.
    pub is_required: bool,
    /// Whether a sign-up sends the link.
    pub sends_on_sign_up: bool,
    /// Whether a sign-in that is refused for want of the proof sends it again.
    pub sends_on_sign_in: bool,
    /// Whether the link signs in.
    pub signs_in: bool,
    /// How long links are good.
    pub expires_in: Span,
    /// Whether users may change their address.
    pub may_change: bool,
    /// Whether a change is agreed to at the old address first.
    pub asks_old_address: bool,
    /// Whether an address that nobody has proved is changed at once.
    pub changes_unverified_at_once: bool,
}

/// Where a link leads for which nobody said where.
fn target_or_root(target: &str) -> &str {
    if target.is_empty() { "/" } else { target }
}

/// The mail with the link that proves the mailbox.
pub(super) fn proof(app: &Services, user: &User, claim: Option<Claim>, target: &str, now: UnixTime) -> Post {
    let target = target_or_root(target);
    letter(app, Wanted { purpose: Purpose::VerifyEmail, user, new_email: None, claim, target }, now)
}

/// Queues what there is to queue; without any it is the same work (AU-08).
async fn queue(app: &Services, act: Act) -> Result<(), ServiceError> {
    app.store.queue_mail(act).await?;
    mail::wake(app);
    Ok(())
}

/// Somebody signed up with an address that has an account. Its owner is told; or, where nobody has proved the mailbox yet and
/// that is required, gets the link of this sign-up: whoever reads the mailbox gets the account with the password that they
/// chose, and not with the one of whoever was there before (RC-07).
pub(super) async fn signed_up_again(
    app: &Services,
    wanted: &User,
    credential: Credential,
    target: &str,
    may_send: bool,
    requester: &Requester,
    now: UnixTime,
) -> Result<(), ServiceError> {
    let owner = app.store.user_by_email(&wanted.email).await?.filter(|_| may_send);
    let post = owner.map(|owner| {
        if owner.email_verified || !app.policy.email.is_required {
            return notice(app, Template::AccountExists, Some(&owner), &owner.email, None, now);
        }
        let credential = Credential { user: owner.id.clone(), ..credential };
        proof(app, &owner, Some(Claim { credential, name: wanted.name.clone() }), target, now)
    });
    queue(app, requester.act(Actor::Anonymous, Method::Password, now).with_post(post)).await
}

/// Somebody has the right password and may not sign in before the mailbox is proved: the link once more, where that is wanted.
pub(super) async fn refused_at_sign_in(
    app: &Services,
    user: &User,
    target: &str,
    requester: &Requester,
    now: UnixTime,
) -> Result<(), ServiceError> {
    if !app.policy.email.sends_on_sign_in || !mail::may_send(app, &user.email, requester, now) {
        return Ok(());
    }
    let post = proof(app, user, None, target, now);
    queue(app, requester.act(Actor::User(user.id.clone()), Method::Password, now).with_post([post])).await
}

/// Sends the link that proves the mailbox. For strangers it is the same whether there is an account or not; who is signed in
/// is told what is wrong.
///
/// # Errors
/// `MailOff`, `EmailMismatch`, `EmailVerified`.
pub async fn send_proof(
    app: &Services,
    email: &Email,
    caller: Option<&Live>,
    target: &str,
    requester: &Requester,
) -> Result<(), ServiceError> {
    if !app.mail.is_on() {
        return Err(ServiceError::MailOff);
    }
    let (user, by, method) = match caller {
        Some(live) if live.user.email != *email => return Err(ServiceError::EmailMismatch),
        Some(live) if live.user.email_verified => return Err(ServiceError::EmailVerified),
        Some(live) => (Some(live.user.clone()), Actor::User(live.user.id.clone()), Method::Session),
        None => (app.store.user_by_email(email).await?, Actor::Anonymous, Method::Session),
    };
    let now = app.clock.now();
    let may_send = mail::may_send(app, email, requester, now);
    let post = user.filter(|user| may_send && !user.email_verified).map(|user| proof(app, &user, None, target, now));
    queue(app, requester.act(by, method, now).with_post(post)).await
}

/// What a link did.
pub enum Followed {
    /// The mailbox is proved, now or before; perhaps with a session, if the policy opens one and none was shown.
    Verified(Option<Opened>),
    /// The old address agrees, and a link is on its way to the new one.
    Agreed,
    /// The account has the new address.
    Changed(Arc<User>),
}

/// The link of this token, if it is one for addresses, and its user.
async fn found(app: &Services, token: &str, now: UnixTime) -> Result<(Link, Arc<User>, LinkState), ServiceError> {
    let link = app.store.link(&mail::digest(token)).await?.ok_or(ServiceError::BadLink)?;
    let user = app.store.user(&link.user).await?;
    let purpose = match link.purpose {
        Purpose::VerifyEmail | Purpose::ConfirmChange | Purpose::VerifyChange => link.purpose,
        Purpose::ResetPassword | Purpose::DeleteUser => return Err(ServiceError::BadLink),
    };
    match (link.state(user.as_deref(), purpose, now), user) {
        (LinkState::Expired, _) => Err(ServiceError::LinkExpired),
        (state @ (LinkState::Good | LinkState::Used), Some(user)) => Ok((link, user, state)),
        _ => Err(ServiceError::BadLink),
    }
}

/// Follows a link that is about an address. One that proves a mailbox can be followed again: link scanners do, and then the
/// user (RC-05); but only the first time does anything.
///
/// # Errors
/// `BadLink`, `LinkExpired`; `OtherUser` for a change, if somebody else is signed in.
pub async fn follow(
    app: &Services,
    token: &str,
    caller: Option<&Live>,
    target: &str,
    wish: &Wish,
    requester: &Requester,
) -> Result<Followed, ServiceError> {
    let now = app.clock.now();
    let (link, user, state) = found(app, token, now).await?;
    let spent = Spent { digest: link.digest, purpose: link.purpose };
    let by = requester.act(Actor::User(user.id.clone()), Method::MailLink, now);
    let act = Act { link: Some(spent), ..by };
    if link.purpose == Purpose::VerifyEmail {
        return match state {
            LinkState::Good if !user.email_verified || link.claim.is_some() => {
                verify(app, &user, caller, wish, act, requester).await
            }
            _ => Ok(Followed::Verified(None)),
        };
    }
    if caller.is_some_and(|live| live.user.id != user.id) {
        return Err(ServiceError::OtherUser);
    }
    let Some(to) = link.new_email else { return Err(ServiceError::BadLink) };
    if link.purpose == Purpose::ConfirmChange {
        let is_taken = app.store.user_by_email(&to).await?.is_some();
        let target = target_or_root(target);
        let wanted = Wanted { purpose: Purpose::VerifyChange, user: &user, new_email: Some(&to), claim: None, target };
        let post = (!is_taken).then(|| letter(app, wanted, now));
        queue(app, act.with_post(post)).await?;
        return Ok(Followed::Agreed);
    }
    change(app, &user, to, act).await.map(Followed::Changed)
}

/// The session of who has proved the mailbox, unless the application wants none or does not answer: then there is the proof
/// alone, and a sign-in with the password says why.
async fn sign_in(
    app: &Services,
    user: &User,
    wish: &Wish,
    now: UnixTime,
    requester: &Requester,
) -> Result<Option<(NewSession, Opening)>, ServiceError> {
    let (new, opening) = sessions::prepare(app, &user.id, wish, requester, now);
    let NewSession { session, family, replaces, max_per_user } = new;
    match hooks::sign_in(app, user, session, requester).await {
        Ok(session) => {
            let new = NewSession { session, family, replaces, max_per_user };
            let opening = opening.of(&new);
            Ok(Some((new, opening)))
        }
        Err(ServiceError::HookRefused { .. } | ServiceError::HookUnavailable(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn verify(
    app: &Services,
    user: &User,
    caller: Option<&Live>,
    wish: &Wish,
    act: Act,
    requester: &Requester,
) -> Result<Followed, ServiceError> {
    let is_signed_in = caller.is_some_and(|live| live.user.id == user.id);
    let may_sign_in = user.active_ban(act.at).is_none() && !user.password_change_required;
    let (new, opening) = match app.policy.email.signs_in && may_sign_in && !is_signed_in {
        true => sign_in(app, user, wish, act.at, requester).await?.unzip(),
        false => (None, None),
    };
    let mut event = Event::new(EventKind::EmailVerified);
    if let Some(new) = &new {
        event = event.session(&new.session.id);
    }
    match app.store.verify_email(user.id.clone(), new, act, event).await {
        Ok(user) => Ok(Followed::Verified(opening.map(|opening| opening.opened(Arc::new(user))))),
        // Another request was faster by a moment, with the same link.
        Err(StoreError::BadLink) => Ok(Followed::Verified(None)),
        Err(error) => Err(error.into()),
    }
}

/// Gives the account the new address, and tells the old one (AU-11).
async fn change(app: &Services, user: &User, to: Email, act: Act) -> Result<Arc<User>, ServiceError> {
    let told =
        app.mail.is_on().then(|| notice(app, Template::EmailChanged, Some(user), &user.email, Some(&to), act.at));
    let event = Event::new(EventKind::EmailChanged);
    let changed =
        app.store.change_email(user.id.clone(), user.epoch, user.email.clone(), to, act.with_post(told), event).await;
    match changed {
        Ok(user) => {
            mail::wake(app);
            Ok(Arc::new(user))
        }
        // Somebody else has it by now, or the account is not as it was.
        Err(StoreError::EmailTaken | StoreError::Stale) => Err(ServiceError::BadLink),
        Err(error) => Err(error.into()),
    }
}

/// Asks for another address. Answers the user as stored, if it was changed at once. An address that has an account is
/// answered alike, and nothing is sent.
///
/// # Errors
/// `ChangeEmailOff`, `SameEmail`, `NotFresh`, `MailOff`.
pub async fn ask_for_change(
    app: &Services,
    live: &Live,
    to: &Email,
    target: &str,
    requester: &Requester,
) -> Result<Option<Arc<User>>, ServiceError> {
    let (policy, user, now) = (&app.policy.email, &*live.user, app.clock.now());
    own::forbid_impersonation(live)?;
    if !policy.may_change {
        return Err(ServiceError::ChangeEmailOff);
    }
    if user.email == *to {
        return Err(ServiceError::SameEmail);
    }
    if !live.session.is_fresh(&app.policy.session, now) {
        return Err(ServiceError::NotFresh);
    }
    let at_once = policy.changes_unverified_at_once && !user.email_verified;
    if !at_once && !app.mail.is_on() {
        return Err(ServiceError::MailOff);
    }
    let is_taken = app.store.user_by_email(to).await?.is_some();
    let act = requester.act(Actor::User(user.id.clone()), Method::Session, now);
    if at_once && !is_taken {
        return match change(app, user, to.clone(), act).await {
            Ok(user) => Ok(Some(user)),
            Err(ServiceError::BadLink) => Err(ServiceError::Contention),
            Err(error) => Err(error),
        };
    }
    let purpose = match user.email_verified && policy.asks_old_address {
        true => Purpose::ConfirmChange,
        false => Purpose::VerifyChange,
    };
    let mailbox = if purpose == Purpose::ConfirmChange { &user.email } else { to };
    let may_send = mail::may_send(app, mailbox, requester, now) && !is_taken;
    let wanted = Wanted { purpose, user, new_email: Some(to), claim: None, target: target_or_root(target) };
    queue(app, act.with_post(may_send.then(|| letter(app, wanted, now)))).await?;
    Ok(None)
}
