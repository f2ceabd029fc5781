//! New passwords: whether one may be used, and its hash.

use common::{Email, SecretString, text};

use super::{ServiceError, Services};
use crate::domain::{PasswordHash, PasswordProblem, credential::is_own_word};

/// The user's own words, which no password may be and which do not make it stronger (AU-05).
pub struct OwnWords<'a> {
    /// The address.
    pub email: &'a Email,
    /// The display name.
    pub name: &'a str,
}

/// Checks a new password by every rule and hashes it.
///
/// # Errors
/// `Password` with what is wrong; `Busy`.
pub async fn accept(app: &Services, password: &SecretString, own: OwnWords<'_>) -> Result<PasswordHash, ServiceError> {
    let policy = &app.policy.password;
    policy.check_length(password.expose())?;
    if let Some(least) = policy.min_guesses {
        let mut words = vec![own.email.to_string(), own.email.local_part().to_owned(), own.name.to_owned()];
        words.extend(policy.context_words.iter().cloned());
        if is_own_word(password.expose(), words.iter().map(String::as_str)) {
            return Err(PasswordProblem::Compromised.into());
        }
        words.retain(|word| !word.trim().is_empty());
        if app.hasher.guesses(password.clone(), words).await? < least {
            return Err(PasswordProblem::Compromised.into());
        }
    }
    Ok(app.hasher.hash(password.clone()).await?)
}

/// Whether the text may be a display name (HT-07): at most 256 code points, nothing that a terminal or a log would act on.
///
/// # Errors
/// `InvalidName`.
pub fn check_name(name: &str) -> Result<(), ServiceError> {
    if name.chars().count() > text::MAX_NAME_CHARS {
        Err(ServiceError::InvalidName("it has more than 256 characters"))
    } else if name.chars().any(text::is_forbidden_in_names) {
        Err(ServiceError::InvalidName("it contains control characters"))
    } else {
        Ok(())
    }
}
