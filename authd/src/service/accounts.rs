//! Signing up and signing in with e-mail and password.

use std::sync::Arc;

use common::{Email, RequestId, SecretString, text::normalised_password};
use tracing::info;

use super::{
    Requester, ServiceError, Services,
    passwords::{self, OwnWords},
    random,
    sessions::{self, Opened, Wish},
    throttle::{self, Account, Attempt, Standing},
};
use crate::{
    digest::is_same_secret,
    domain::{Actor, Credential, Event, EventKind, Method, PasswordProblem, User, user::DEFAULT_ROLE},
    ports::HasherError,
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
    /// The chosen password.
    pub password: SecretString,
    /// What is asked of the session, if one is opened.
    pub wish: Wish,
}

/// A new account, and its session where the policy opens one.
pub struct SignedUp {
    /// The new user.
    pub user: Arc<User>,
    /// Absent if `sign_up.auto_sign_in` is off.
    pub opened: Option<Opened>,
}

/// Makes an account, and signs it in. Order of the checks as recorded of Better Auth: allowed at all, length, strength,
/// and last whether the address is free; that is decided by the store, so that a hundred at once make one account.
///
/// # Errors
/// `SignUpDisabled`, `InvalidName`, `Password`, `UserExists`, `Busy`.
pub async fn sign_up(app: &Services, wanted: SignUp, requester: &Requester) -> Result<SignedUp, ServiceError> {
    if !app.policy.sign_up_enabled {
        return Err(ServiceError::SignUpDisabled);
    }
    passwords::check_name(&wanted.name)?;
    wanted.image.as_deref().map_or(Ok(()), passwords::check_image)?;
    // Where a sign-up signs nobody in, its answer does not tell whether the address was free: then the work must not tell
    // either, and a taken address costs the same hash (AU-08).
    let tells = app.policy.auto_sign_in;
    if tells && app.store.user_by_email(&wanted.email).await?.is_some() {
        return Err(ServiceError::UserExists);
    }
    let own = OwnWords { email: &wanted.email, name: &wanted.name };
    let hash = passwords::accept(app, &wanted.password, own).await?;

    let now = app.clock.now();
    let user = User {
        id: random::user_id(&*app.entropy),
        email: wanted.email,
        email_verified: false,
        name: wanted.name,
        image: wanted.image,
        role: DEFAULT_ROLE.into(),
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
    let (new, opening) = match app.policy.auto_sign_in {
        true => Some(sessions::prepare(app, &user.id, &wanted.wish, requester, now)).unzip(),
        false => (None, None),
    };
    let mut event = Event::new(EventKind::UserCreated).user(&user.id);
    if let Some(new) = &new {
        event = event.session(&new.session.id);
    }
    let act = requester.act(Actor::User(user.id.clone()), Method::Password, now);
    match app.store.create_user(user.clone(), Some(credential), new, act, event).await {
        // The user that would have been made, with an id that nobody has; and a commit, as making one would have been.
        Err(StoreError::EmailTaken) if !tells => {
            app.store.count_repeated_sign_up().await?;
            return Ok(SignedUp { user: Arc::new(user), opened: None });
        }
        outcome => outcome?,
    }
    let user = Arc::new(user);
    Ok(SignedUp { opened: opening.map(|opening| opening.opened(user.clone())), user })
}

/// Who wants to sign in.
#[derive(Debug)]
pub struct SignIn {
    /// Valid, canonical.
    pub email: Email,
    /// What was typed.
    pub password: SecretString,
    /// The password that takes the place of a temporary one (AU-13).
    pub new_password: Option<SecretString>,
    /// What is asked of the session.
    pub wish: Wish,
}

/// How often a sign-in is decided anew because somebody changed the account meanwhile.
const ATTEMPTS: usize = 3;

/// Lets an attempt through, or says how long to wait. What speaks for it is asked for only where there is an account.
pub(super) async fn begin(
    app: &Services,
    user: Option<&User>,
    email: &Email,
    requester: &Requester,
) -> Result<Attempt, ServiceError> {
    let now = app.clock.now();
    let (account, standing) = match user {
        Some(user) => (Account::Known(&user.id), throttle::standing(app, user, requester, now).await?),
        None => (Account::Unknown(email), Standing::Stranger),
    };
    app.throttles.begin(&account, requester.address, standing, now).map_err(|wait| {
        let id = requester.request_id.as_ref().map(RequestId::as_str);
        let (user, source) = (user.map(|u| u.id.as_str()), requester.source.as_deref());
        let method = Method::Password.as_str();
        info!(request.id = id, source, user, method, result = "refused", %wait, "a sign-in was put off: too many have failed");
        ServiceError::Throttled(wait)
    })
}

/// Signs in. An unknown address, an account without password and a banned account cost the same work as any other
/// (AU-07), and what is wrong with an account is told only to who knows its password (AU-06).
///
/// # Errors
/// `InvalidCredentials`, `Banned`, `PasswordChangeRequired`, `Password`, `Throttled`, `Busy`.
pub async fn sign_in(app: &Services, wanted: SignIn, requester: &Requester) -> Result<Opened, ServiceError> {
    if let Err(too_long @ PasswordProblem::TooLong) = app.policy.password.check_length(wanted.password.expose()) {
        return Err(too_long.into());
    }
    for _ in 0..ATTEMPTS {
        let user = app.store.user_by_email(&wanted.email).await?;
        let credential = match &user {
            Some(user) => app.store.credential(&user.id).await?,
            None => None,
        };
        let attempt = begin(app, user.as_deref(), &wanted.email, requester).await?;
        let stored = credential.map(|c| c.hash);
        let verdict = match app.hasher.verify(wanted.password.clone(), stored.clone()).await {
            Ok(verdict) => verdict,
            Err(e) => {
                // No password was looked at.
                app.throttles.take_back(&attempt, false);
                return Err(e.into());
            }
        };
        let (Some(user), Some(old), true) = (user.clone(), stored, verdict.matches) else {
            // Without the address: people type passwords where addresses go (LG-02).
            let id = requester.request_id.as_ref().map(RequestId::as_str);
            let (user, source) = (user.as_ref().map(|u| u.id.as_str()), requester.source.as_deref());
            let method = Method::Password.as_str();
            info!(request.id = id, source, user, method, result = "failure", "a sign-in failed");
            return Err(attempt.hidden_wait.map_or(ServiceError::InvalidCredentials, ServiceError::Throttled));
        };
        app.throttles.take_back(&attempt, true);
        let now = app.clock.now();
        if user.active_ban(now).is_some() {
            return Err(ServiceError::Banned);
        }
        let own = OwnWords { email: &user.email, name: &user.name };
        let rehash = if user.password_change_required {
            let chosen = wanted.new_password.as_ref().ok_or(ServiceError::PasswordChangeRequired)?;
            let (new, old_one) = (normalised_password(chosen.expose()), normalised_password(wanted.password.expose()));
            if is_same_secret(new.as_bytes(), old_one.as_bytes()) {
                return Err(ServiceError::PasswordChangeRequired);
            }
            Some(Rehash { old, new: passwords::accept(app, chosen, own).await?, chosen: true })
        } else if verdict.outdated {
            // A better hash can wait until there is time for it; the sign-in cannot.
            match app.hasher.hash(wanted.password.clone()).await {
                Ok(new) => Some(Rehash { old, new, chosen: false }),
                Err(HasherError::Busy) => None,
                Err(e) => return Err(e.into()),
            }
        } else {
            None
        };
        let (new, opening) = sessions::prepare(app, &user.id, &wanted.wish, requester, now);
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
