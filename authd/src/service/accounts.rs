//! Signing up and signing in with e-mail and password.

use std::sync::Arc;

use common::{Email, RequestId, SecretString, text::normalised_password};
use tracing::info;

use super::{
    Requester, ServiceError, Services, email, fields, hooks, mail,
    passwords::{self, OwnWords},
    random,
    sessions::{self, Opened, Wish},
    throttle::{Account, Attempt, Refused},
    usernames::{self, GivenUsername},
};
use crate::{
    digest::is_same_secret,
    domain::{
        Actor, Credential, Event, EventKind, GivenFields, Method, PasswordHash, PasswordProblem, User, address,
        throttle::Place,
    },
    ports::{HasherError, Verdict},
    store::{Rehash, StoreError},
};

/// Who wants an account.
#[derive(Debug)]
pub struct SignUp {
    /// Valid, canonical.
    pub email: Email,
    /// Display name; may be empty.
    pub name: String,
    /// Address of a picture.
    pub image: Option<String>,
    /// What was given for the application's fields.
    pub fields: GivenFields,
    /// What was given for fields of plugins, which nobody sets here.
    pub locked: GivenFields,
    /// The name to sign in with, and how it is spelled.
    pub username: GivenUsername,
    /// The chosen password.
    pub password: SecretString,
    /// What is asked of the session, if one is opened.
    pub wish: Wish,
    /// Where the link that proves the mailbox leads.
    pub target: Option<String>,
}

/// A new account, and its session where the policy opens one.
pub struct SignedUp {
    /// The new user.
    pub user: Arc<User>,
    /// Absent if `sign_up.auto_sign_in` is off.
    pub opened: Option<Opened>,
}

/// Makes an account, and signs it in. Order of the checks as recorded of Better Auth: allowed at all, length, the
/// application's fields, strength, and last whether the address is free; that is decided by the store, so that a hundred at once make one account.
///
/// # Errors
/// `SignUpDisabled`, `InvalidName`, `Field`, `Password`, `UserExists`, `Busy`.
pub async fn sign_up(app: &Services, wanted: SignUp, requester: &Requester) -> Result<SignedUp, ServiceError> {
    if !app.policy.sign_up_enabled {
        return Err(ServiceError::SignUpDisabled);
    }
    let (username, display_username) = usernames::of_new(app, wanted.username).await?;
    passwords::check_name(&wanted.name)?;
    wanted.image.as_deref().map_or(Ok(()), passwords::check_image)?;
    // Of the password only what Better Auth looks at before the fields; the rest, which costs, when all else is sound.
    app.policy.password.check_length(wanted.password.expose())?;
    app.policy.locked_fields.begin(wanted.locked).map_err(ServiceError::Field)?;
    let values = app.policy.user_fields.begin(wanted.fields).map_err(ServiceError::Field)?;
    fields::check(&values, User::MAX_FIELD_BYTES)?;
    let asked = (&wanted.email, wanted.name.as_str(), username.as_deref());
    let values = hooks::sign_up(app, asked, values, requester).await?;
    // Where a sign-up signs nobody in, its answer does not tell whether the address was free: then the work must not tell
    // either, and a taken address costs the same hash (AU-08).
    let tells = app.policy.auto_sign_in && !app.policy.email.is_required;
    if tells && app.store.user_by_email(&wanted.email).await?.is_some() {
        return Err(ServiceError::UserExists);
    }
    let own = OwnWords { email: &wanted.email, name: &wanted.name };
    let hash = passwords::accept(app, &wanted.password, own, requester.address).await?;

    let now = app.clock.now();
    let user = User {
        id: random::user_id(&*app.entropy),
        email: wanted.email,
        email_verified: false,
        name: wanted.name,
        image: wanted.image,
        username,
        display_username,
        fields: values,
        role: app.policy.default_role().to_owned(),
        ban: None,
        password_change_required: false,
        epoch: 0,
        created_at: now,
        updated_at: now,
    };
    let credential = Credential {
        id: random::account_id(&*app.entropy),
        user: user.id.clone(),
        hash,
        created_at: now,
        updated_at: now,
    };
    let (new, opening) = match tells {
        true => {
            let (new, opening) = sessions::prepare(app, &user.id, &wanted.wish, requester, now);
            (Some(new), Some(opening.with_claims(app, &user, &wanted.wish).await?))
        }
        false => (None, None),
    };
    let mut event = Event::new(EventKind::UserCreated).user(&user.id);
    if let Some(new) = &new {
        event = event.session(&new.session.id);
    }
    let target = wanted.target.as_deref().unwrap_or_default();
    let may_send = app.policy.email.sends_on_sign_up && mail::may_send(app, &user.email, requester, now);
    let post = may_send.then(|| email::proof(app, &user, None, target, now));
    let act = requester.act(Actor::User(user.id.clone()), Method::Password, now).with_post(post);
    match app.store.create_user(user.clone(), Some(credential.clone()), new, act, event).await {
        // The user that would have been made, with an id that nobody has; and a commit, as making one would have been.
        Err(StoreError::EmailTaken) if !tells => {
            let may_send = may_send || mail::may_send(app, &user.email, requester, now);
            email::signed_up_again(app, &user, credential, target, may_send, requester, now).await?;
            return Ok(SignedUp { user: Arc::new(user), opened: None });
        }
        outcome => outcome?,
    }
    if may_send {
        mail::wake(app);
    }
    let user = Arc::new(user);
    Ok(SignedUp { opened: opening.map(|opening| opening.opened(user.clone())), user })
}

/// By what somebody signs in.
#[derive(Debug)]
pub enum Identifier {
    /// An address, valid and canonical.
    Email(Email),
    /// A username as it was typed. What cannot be one is nobody's.
    Username(String),
}

/// Who wants to sign in.
#[derive(Debug)]
pub struct SignIn {
    /// By what.
    pub by: Identifier,
    /// What was typed.
    pub password: SecretString,
    /// The password that takes the place of a temporary one (AU-13).
    pub new_password: Option<SecretString>,
    /// What is asked of the session.
    pub wish: Wish,
    /// Where the link that proves the mailbox leads, if one is sent.
    pub target: Option<String>,
}

/// How often a sign-in is decided anew because somebody changed the account meanwhile.
const ATTEMPTS: usize = 3;

/// Lets an attempt through, or says how long to wait. Nothing of that depends on whether there is an account, but for a
/// device that shows that its owner signed in with it.
pub(super) async fn begin(
    app: &Services,
    user: Option<&User>,
    by: &Identifier,
    requester: &Requester,
) -> Result<Attempt, ServiceError> {
    let now = app.clock.now();
    let account = match (user, by) {
        (Some(user), _) => Account::Known(&user.id),
        (None, Identifier::Email(email)) => Account::Unknown(email),
        (None, Identifier::Username(name)) => Account::Unnamed(name),
    };
    let device = user.and_then(|user| requester.device.of(app, user, now));
    let admitted = app.throttles.admit(&account, requester.address, device, now).await;
    admitted.map_err(|refused| put_off(app, user, &refused, requester))
}

/// What a sign-in is answered that has to wait, with a word in the log.
fn put_off(app: &Services, user: Option<&User>, refused: &Refused, requester: &Requester) -> ServiceError {
    let (user, wait) = (user.map(|u| u.id.as_str()), refused.wait);
    let source = requester.source.as_deref();
    let subject = || user.or(source).unwrap_or_default().to_owned();
    if app.throttles.put_off.note(refused, subject, app.clock.now()) {
        let id = requester.request_id.as_ref().map(RequestId::as_str);
        let method = Method::Password.as_str();
        info!(request.id = id, source, user, method, result = "refused", %wait, "a sign-in was put off: too many have failed");
    }
    ServiceError::Throttled(wait)
}

/// Whether the password of an attempt that was let through may be looked at. Where the account has to wait, only at a place
/// where its owner signed in of late (TH-02).
///
/// # Errors
/// The store cannot be read.
async fn is_looked_at(
    app: &Services,
    attempt: &Attempt,
    user: &User,
    requester: &Requester,
) -> Result<bool, ServiceError> {
    if attempt.put_off.is_none() {
        return Ok(true);
    }
    let Some(here) = requester.address.map(|address| address::bucket(address).to_string()) else { return Ok(false) };
    let now = app.clock.now();
    let places = app.store.places(&user.id).await?;
    let is_known = places.iter().any(|place: &Place| place.name == here && place.is_known(now));
    if is_known {
        attempt.is_of(&user.id, &here);
    }
    Ok(is_known)
}

/// Compares a password, or nothing at the same cost: where there is none, and where the attempt is not worth more. The
/// attempt is over with it.
///
/// # Errors
/// `Throttled` if it was no match and the account has to wait; `Busy`.
pub(super) async fn compare(
    app: &Services,
    attempt: Attempt,
    password: &SecretString,
    owner: Option<(&User, &PasswordHash)>,
    requester: &Requester,
) -> Result<Option<Verdict>, ServiceError> {
    let stored = match owner {
        Some((user, hash)) if is_looked_at(app, &attempt, user, requester).await? => Some(hash.clone()),
        Some(_) | None => None,
    };
    match app.hasher.verify(password.clone(), stored, requester.address).await {
        Ok(verdict) if verdict.matches => {
            attempt.succeeded();
            Ok(Some(verdict))
        }
        Ok(_) => match attempt.put_off {
            Some(refused) => Err(put_off(app, owner.map(|(user, _)| user), &refused, requester)),
            None => Ok(None),
        },
        Err(e) => {
            attempt.was_none();
            Err(e.into())
        }
    }
}

/// Whom this stands for.
async fn identified(app: &Services, by: &Identifier) -> Result<Option<Arc<User>>, ServiceError> {
    match (by, app.policy.username) {
        (Identifier::Email(email), _) => Ok(app.store.user_by_email(email).await?),
        (Identifier::Username(name), Some(rules)) => match rules.normalised(name) {
            Ok(name) => Ok(app.store.user_by_username(&name).await?),
            Err(_) => Ok(None),
        },
        (Identifier::Username(_), None) => Ok(None),
    }
}

/// Signs in. An unknown address, an account without password and a banned account cost the same work as any other
/// (AU-07), and what is wrong with an account is told only to who knows its password (AU-06).
///
/// # Errors
/// `InvalidCredentials`, `EmailNotVerified`, `Banned`, `PasswordChangeRequired`, `Password`, `Throttled`, `Busy`.
pub async fn sign_in(app: &Services, wanted: SignIn, requester: &Requester) -> Result<Opened, ServiceError> {
    let outcome = signed_in(app, wanted, requester).await;
    app.counts.sign_ins.ended(&outcome);
    outcome
}

async fn signed_in(app: &Services, wanted: SignIn, requester: &Requester) -> Result<Opened, ServiceError> {
    if let Err(too_long @ PasswordProblem::TooLong) = app.policy.password.check_length(wanted.password.expose()) {
        return Err(too_long.into());
    }
    for _ in 0..ATTEMPTS {
        let user = identified(app, &wanted.by).await?;
        let attempt = begin(app, user.as_deref(), &wanted.by, requester).await?;
        let credential = match &user {
            Some(user) => app.store.credential(&user.id).await?,
            None => None,
        };
        let stored = credential.map(|c| c.hash);
        let owner = user.as_deref().zip(stored.as_ref());
        let verdict = compare(app, attempt, &wanted.password, owner, requester).await?;
        let (Some(user), Some(old), Some(verdict)) = (user.clone(), stored, verdict) else {
            // Without the address: people type passwords where addresses go (LG-02).
            let id = requester.request_id.as_ref().map(RequestId::as_str);
            let (user, source) = (user.as_ref().map(|u| u.id.as_str()), requester.source.as_deref());
            let method = Method::Password.as_str();
            info!(request.id = id, source, user, method, result = "failure", "a sign-in failed");
            return Err(ServiceError::InvalidCredentials);
        };
        let now = app.clock.now();
        // Before the ban, as recorded.
        if app.policy.email.is_required && !user.email_verified {
            email::refused_at_sign_in(app, &user, wanted.target.as_deref().unwrap_or_default(), requester, now).await?;
            return Err(ServiceError::EmailNotVerified);
        }
        if user.active_ban(now).is_some() {
            return Err(app.policy.banned());
        }
        // Only now: what the application thinks of an account is nothing for who does not know its password. And before a
        // hash that a refusal would waste.
        let (mut new, opening) = sessions::prepare(app, &user.id, &wanted.wish, requester, now);
        new.session = hooks::sign_in(app, &user, new.session, requester).await?;
        let opening = opening.of(&new).with_claims(app, &user, &wanted.wish).await?;
        let own = OwnWords { email: &user.email, name: &user.name };
        let rehash = if user.password_change_required {
            let chosen = wanted.new_password.as_ref().ok_or(ServiceError::PasswordChangeRequired)?;
            let (new, old_one) = (normalised_password(chosen.expose()), normalised_password(wanted.password.expose()));
            if is_same_secret(new.as_bytes(), old_one.as_bytes()) {
                return Err(ServiceError::PasswordChangeRequired);
            }
            Some(Rehash { old, new: passwords::accept(app, chosen, own, requester.address).await?, chosen: true })
        } else if verdict.outdated {
            // A better hash can wait until there is time for it; the sign-in cannot.
            match app.hasher.hash(wanted.password.clone(), requester.address).await {
                Ok(new) => Some(Rehash { old, new, chosen: false }),
                Err(HasherError::Busy) => None,
                Err(e) => return Err(e.into()),
            }
        } else {
            None
        };
        let event = Event::new(EventKind::SignedIn).user(&user.id).session(&new.session.id);
        let is_changed = rehash.as_ref().is_some_and(|rehash| rehash.chosen);
        let act = requester.act(Actor::User(user.id.clone()), Method::Password, now);
        match app.store.open_session(new, user.epoch, rehash, act, event).await {
            Ok(()) if is_changed => return Ok(opening.opened(Arc::new(user.with_new_password(now)))),
            Ok(()) => return Ok(opening.opened(user)),
            // Banned, deleted or another password since we looked: look again.
            Err(StoreError::Stale | StoreError::NoSuchUser) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(ServiceError::Contention)
}
