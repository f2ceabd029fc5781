//! What users do with their own accounts: name and picture, password, deletion.

use std::sync::Arc;

use common::{RequestId, SecretString};
use tracing::info;

use super::{
    Requester, ServiceError, Services,
    accounts::{self, Identifier},
    fields,
    mail::{self, Wanted},
    passwords::{self, OwnWords},
    sessions::{self, Opened, Wish},
    usernames::GivenUsername,
};
use crate::{
    domain::{
        Act, Actor, Credential, Event, EventKind, GivenFields, Method, PasswordHash, PasswordProblem, Purpose, Session,
        User, mail::Spent,
    },
    store::{Live, Profile, Rehash},
};

/// What a user wants to change of the own account.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnChange {
    /// The display name.
    pub name: Option<String>,
    /// The address of a picture; `Some(None)` takes it away.
    pub image: Option<Option<String>>,
    /// What was given for the application's fields.
    pub fields: GivenFields,
    /// What was given for fields of plugins, which nobody sets here.
    pub locked: GivenFields,
    /// The name to sign in with, and how it is spelled: as [`super::usernames::changes`] found it sound.
    pub username: GivenUsername,
}

/// Changes name, picture and the application's fields, so often that the trail does not fill the disk. `false` if nothing was
/// to be changed.
///
/// # Errors
/// `Field`, `InvalidName`, `InvalidImage`, `Throttled`.
pub async fn update(
    app: &Services,
    live: &Live,
    wanted: OwnChange,
    requester: &Requester,
) -> Result<bool, ServiceError> {
    let user = &live.user;
    app.policy.locked_fields.changes(wanted.locked).map_err(ServiceError::Field)?;
    let fields = app.policy.user_fields.changes(wanted.fields).map_err(ServiceError::Field)?;
    let GivenUsername { username, display } = wanted.username;
    let (name, image) = (wanted.name, wanted.image);
    let profile = Profile { name, image, fields, username, display_username: display };
    if profile == Profile::default() {
        return Ok(false);
    }
    fields::check(&user.fields.changed(&profile.fields), User::MAX_FIELD_BYTES)?;
    profile.name.as_deref().map_or(Ok(()), passwords::check_name)?;
    profile.image.iter().flatten().try_for_each(|image| passwords::check_image(image))?;
    let now = app.clock.now();
    app.throttles.profile_change(&user.id, now).map_err(ServiceError::Throttled)?;
    let act = requester.act_in(live, now);
    let core = [
        profile.name.as_ref().map(|_| "name"),
        profile.image.as_ref().map(|_| "image"),
        profile.username.as_ref().map(|_| "username"),
        profile.display_username.as_ref().map(|_| "displayUsername"),
    ];
    let names: Vec<&str> = core.into_iter().flatten().chain(profile.fields.keys().map(String::as_str)).collect();
    let event = Event::new(EventKind::UserUpdated).with("fields", &names.join(", "));
    app.store.update_profile(user.id.clone(), profile, act, event).await?;
    Ok(true)
}

/// Changes the application's fields of a session, as often as those of a user. `None` if nothing was to be changed.
///
/// # Errors
/// `Field`, `Throttled`, `SessionNotFound`.
pub async fn update_session(
    app: &Services,
    live: &Live,
    given: GivenFields,
) -> Result<Option<Arc<Session>>, ServiceError> {
    let session = &live.session;
    let changes = app.policy.session_fields.changes(given).map_err(ServiceError::Field)?;
    if changes.is_empty() {
        return Ok(None);
    }
    fields::check(&session.fields.changed(&changes), Session::MAX_FIELD_BYTES)?;
    let now = app.clock.now();
    app.throttles.profile_change(&live.user.id, now).map_err(ServiceError::Throttled)?;
    Ok(Some(app.store.update_session(session.id.clone(), changes, now).await?))
}

/// Whether this is the user's password. It is a guess like any other: with the same hasher, counted and put off together
/// with the sign-ins to the account. Answers the hash that it was compared with.
///
/// # Errors
/// `NoPassword`, `WrongPassword`, `Throttled`, `Busy`.
pub async fn check_password(
    app: &Services,
    user: &User,
    password: &SecretString,
    requester: &Requester,
) -> Result<PasswordHash, ServiceError> {
    let stored = app.store.credential(&user.id).await?.ok_or(ServiceError::NoPassword)?.hash;
    if let Err(PasswordProblem::TooLong) = app.policy.password.check_length(password.expose()) {
        return Err(ServiceError::WrongPassword);
    }
    let by = Identifier::Email(user.email.clone());
    let attempt = accounts::begin(app, Some(user), &by, requester).await?;
    if accounts::compare(app, attempt, password, Some((user, &stored)), requester).await?.is_some() {
        return Ok(stored);
    }
    let id = requester.request_id.as_ref().map(RequestId::as_str);
    let (user, source, method) = (user.id.as_str(), requester.source.as_deref(), Method::Password.as_str());
    info!(
        request.id = id,
        source,
        user,
        method,
        result = "failure",
        "a signed-in user's password was not the right one"
    );
    Err(ServiceError::WrongPassword)
}

/// What only the user may do, and nobody who acts as the user (AZ-07).
///
/// # Errors
/// `Impersonating`.
pub(super) fn forbid_impersonation(live: &Live) -> Result<(), ServiceError> {
    if live.session.impersonation.is_some() { Err(ServiceError::Impersonating) } else { Ok(()) }
}

/// A change of a password.
pub struct PasswordChange {
    /// The one in force.
    pub current: SecretString,
    /// The one that takes its place.
    pub new: SecretString,
    /// Whether all sessions end and a new one is opened; if absent the policy decides.
    pub end_sessions: Option<bool>,
    /// Whether an access token of the new session is given out.
    pub access_token: bool,
}

/// Changes the password. Where sessions end, all do, with their refresh and access tokens, and a new one takes the place of
/// the caller's in the same change, with refresh tokens if that had some (AU-10). Answers the user as stored, and that session.
///
/// # Errors
/// `Password`, `NoPassword`, `WrongPassword`, `Throttled`, `Busy`; `Contention` if the account was changed meanwhile.
pub async fn change_password(
    app: &Services,
    live: &Live,
    wanted: PasswordChange,
    requester: &Requester,
) -> Result<(Arc<User>, Option<Opened>), ServiceError> {
    forbid_impersonation(live)?;
    app.policy.password.check_length(wanted.new.expose())?;
    let user = &live.user;
    let old = check_password(app, user, &wanted.current, requester).await?;
    let new = passwords::accept(app, &wanted.new, OwnWords { email: &user.email, name: &user.name }, requester.address)
        .await?;
    let rehash = Rehash { old, new, chosen: true };
    let now = app.clock.now();
    let act = requester.act(Actor::User(user.id.clone()), Method::Password, now);
    let event = Event::new(EventKind::PasswordSet).user(&user.id);
    let changed = Arc::new(user.with_new_password(now));
    if !wanted.end_sessions.unwrap_or(app.policy.password_change_ends_sessions) {
        let event = event.with("sessions", "kept");
        let outcome = app.store.replace_password(user.id.clone(), user.epoch, rehash, act, event).await;
        return match outcome {
            Ok(()) => Ok((changed, None)),
            Err(e) => Err(lost(app, user, &wanted.current, requester, e.into()).await),
        };
    }
    let refreshable = live.session.family.is_some();
    let (remember, access_token) = (live.session.remember, wanted.access_token);
    let wish = Wish { remember, refreshable, access_token, replaces: vec![] };
    let (session, opening) = sessions::prepare(app, &user.id, &wish, requester, now);
    let opening = opening.with_claims(app, &changed, &wish).await?;
    let event = event.session(&session.session.id).with("sessions", "ended");
    match app.store.open_session(session, user.epoch, Some(rehash), act, event).await {
        Ok(()) => Ok((changed.clone(), Some(opening.opened(changed)))),
        Err(e) => Err(lost(app, user, &wanted.current, requester, e.into()).await),
    }
}

/// Why a change came to nothing. Where another was faster, the password that was right is so no more.
async fn lost(
    app: &Services,
    user: &User,
    current: &SecretString,
    requester: &Requester,
    error: ServiceError,
) -> ServiceError {
    match error {
        ServiceError::Contention => check_password(app, user, current, requester).await.err().unwrap_or(error),
        error => error,
    }
}

/// The ways in which the user can sign in.
///
/// # Errors
/// The store cannot be read.
pub async fn credential(app: &Services, user: &User) -> Result<Option<Credential>, ServiceError> {
    Ok(app.store.credential(&user.id).await?)
}

/// What became of a user's wish to delete the own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// The policy does not allow it.
    Off,
    /// Without a password the sign-in must be recent, and it is not (AU-11).
    NotFresh,
    /// A link was sent, and deletes it.
    MailSent,
}

/// What a user shows who wants the own account deleted.
#[derive(Debug, Default)]
pub struct DeletionWish {
    /// The password.
    pub password: Option<SecretString>,
    /// The token of the link that was sent.
    pub token: Option<SecretString>,
    /// Where the link leads that is to be sent.
    pub target: Option<String>,
}

/// Deletes the user's own account with everything that belongs to it. The password proves who asks, or the link of a mail, or
/// else a sign-in that is recent enough. Where a link is needed, it is sent.
///
/// # Errors
/// `BadLink`, `NoPassword`, `WrongPassword`, `Throttled`, `Busy`; `Contention` if the account was changed meanwhile.
pub async fn delete(
    app: &Services,
    live: &Live,
    wish: DeletionWish,
    requester: &Requester,
) -> Result<Deletion, ServiceError> {
    if !app.policy.self_delete {
        return Ok(Deletion::Off);
    }
    forbid_impersonation(live)?;
    let DeletionWish { password, token, target } = wish;
    let is_proved = password.is_some();
    if let Some(password) = password {
        check_password(app, &live.user, &password, requester).await?;
    }
    if let Some(token) = token {
        return delete_by_link(app, live, token.expose(), requester).await;
    }
    if app.policy.delete_by_mail {
        send_deletion(app, live, target.as_deref().unwrap_or("/"), requester).await?;
        return Ok(Deletion::MailSent);
    }
    let method = match is_proved {
        true => Method::Password,
        false if !live.session.is_fresh(&app.policy.session, app.clock.now()) => return Ok(Deletion::NotFresh),
        false => Method::Session,
    };
    let act = requester.act(Actor::User(live.user.id.clone()), method, app.clock.now());
    let epoch = Some(live.user.epoch);
    app.store.delete_user(live.user.id.clone(), epoch, act, Event::new(EventKind::UserDeleted)).await?;
    Ok(Deletion::Done)
}

/// Deletes the account by the link of a mail, which must be that of the caller's own account.
///
/// # Errors
/// `BadLink`.
pub async fn delete_by_link(
    app: &Services,
    live: &Live,
    token: &str,
    requester: &Requester,
) -> Result<Deletion, ServiceError> {
    if !app.policy.self_delete {
        return Ok(Deletion::Off);
    }
    forbid_impersonation(live)?;
    let digest = mail::digest(token);
    let link = app.store.link(&digest).await?.filter(|link| link.user == live.user.id).ok_or(ServiceError::BadLink)?;
    let spent = Spent { digest, purpose: Purpose::DeleteUser };
    let by = requester.act(Actor::User(link.user.clone()), Method::MailLink, app.clock.now());
    let act = Act { link: Some(spent), ..by };
    app.store.delete_user(link.user, Some(link.epoch), act, Event::new(EventKind::UserDeleted)).await?;
    Ok(Deletion::Done)
}

async fn send_deletion(app: &Services, live: &Live, target: &str, requester: &Requester) -> Result<(), ServiceError> {
    let (now, user) = (app.clock.now(), &*live.user);
    let wanted = Wanted { purpose: Purpose::DeleteUser, user, new_email: None, claim: None, target };
    let post = mail::may_send(app, &user.email, requester, now).then(|| mail::letter(app, wanted, now));
    let act = requester.act(Actor::User(user.id.clone()), Method::Session, now).with_post(post);
    app.store.queue_mail(act).await?;
    mail::wake(app);
    Ok(())
}
