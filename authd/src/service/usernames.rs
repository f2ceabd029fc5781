//! Names to sign in with (Better Auth's username plugin): whether one may be, and whether it is free.
//!
//! Whether a name is taken is no secret, as it is nowhere on the net where names are chosen; whose it is, and whether somebody has an
//! account by an address, is not told.

use super::{ServiceError, Services, passwords};
use crate::domain::User;

/// What a request gave. Nothing of it counts while the plugin is off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenUsername {
    /// The name as it was typed; `Some(None)` takes it away.
    pub username: Option<Option<String>>,
    /// How it is to be shown; `Some(None)` takes that away.
    pub display: Option<Option<String>>,
}

/// The longest spelling, in characters.
const MAX_DISPLAY: usize = 64;

pub(super) fn check_display(display: &str) -> Result<(), ServiceError> {
    passwords::check_name(display)?;
    match display.chars().count() {
        0..=MAX_DISPLAY => Ok(()),
        _ => Err(ServiceError::InvalidName("the displayed username has more than 64 characters")),
    }
}

/// Whether nobody has the name, which must be one.
///
/// # Errors
/// `Username`.
pub async fn is_available(app: &Services, name: &str) -> Result<bool, ServiceError> {
    let Some(rules) = app.policy.username else { return Ok(false) };
    let name = rules.normalised(name).map_err(ServiceError::Username)?;
    Ok(app.store.user_by_username(&name).await?.is_none())
}

/// The name of a new account and its spelling, if it is free now; the store decides in the end. As recorded: without a
/// spelling it is spelled as it was typed, and a spelling alone is the name too if it can be one.
///
/// # Errors
/// `Username`, `UsernameTaken`, `InvalidName`.
pub async fn of_new(app: &Services, given: GivenUsername) -> Result<(Option<String>, Option<String>), ServiceError> {
    let Some(rules) = app.policy.username else { return Ok((None, None)) };
    let (typed, display) = (given.username.flatten(), given.display.flatten());
    let name = match (&typed, &display) {
        (Some(typed), _) => Some(rules.normalised(typed).map_err(ServiceError::Username)?),
        (None, Some(display)) => rules.normalised(display).ok(),
        (None, None) => None,
    };
    if let Some(name) = &name
        && app.store.user_by_username(name).await?.is_some()
    {
        return Err(ServiceError::UsernameTaken);
    }
    let display = match typed {
        Some(typed) => display.filter(|display| !display.is_empty()).or(Some(typed)),
        None => display,
    };
    display.as_deref().map_or(Ok(()), check_display)?;
    Ok((name, display))
}

/// What is to change of a user's name and its spelling, each by itself.
///
/// # Errors
/// `Username`, `UsernameTaken` if another has it, `InvalidName`.
pub async fn changes(app: &Services, user: Option<&User>, given: GivenUsername) -> Result<GivenUsername, ServiceError> {
    let Some(rules) = app.policy.username else { return Ok(GivenUsername::default()) };
    let username = match given.username {
        Some(Some(typed)) => {
            let name = rules.normalised(&typed).map_err(ServiceError::Username)?;
            let owner = app.store.user_by_username(&name).await?;
            if owner.is_some_and(|owner| user.is_none_or(|user| user.id != owner.id)) {
                return Err(ServiceError::UsernameTaken);
            }
            Some(Some(name))
        }
        other => other,
    };
    given.display.iter().flatten().try_for_each(|display| check_display(display))?;
    Ok(GivenUsername { username, display: given.display })
}
