//! New passwords: whether one may be used, and its hash.

use std::net::IpAddr;

use common::{Email, SecretString, text};

use super::{ServiceError, Services, hooks};
use crate::domain::{PasswordHash, PasswordProblem};

/// The user's own words, which no password may be and which do not make it stronger (AU-05).
pub struct OwnWords<'a> {
    /// The address.
    pub email: &'a Email,
    /// The display name.
    pub name: &'a str,
}

/// Checks a new password by every rule, the application's last, and hashes it, for this client.
///
/// # Errors
/// `Password` with what is wrong; `Busy`, `HookRefused`, `HookUnavailable`.
pub async fn accept(
    app: &Services,
    password: &SecretString,
    own: OwnWords<'_>,
    client: Option<IpAddr>,
) -> Result<PasswordHash, ServiceError> {
    let policy = &app.policy.password;
    // As it was typed, and as it is hashed: neither may be short.
    policy.check_length(password.expose())?;
    policy.check_length(&text::normalised_password(password.expose()))?;
    if let Some(least) = policy.min_guesses {
        let mut words = vec![own.email.to_string(), own.email.local_part().to_owned(), own.name.to_owned()];
        words.extend(policy.context_words.iter().cloned());
        words.retain(|word| !word.trim().is_empty());
        if app.hasher.guesses(password.clone(), words, client).await? < least {
            return Err(PasswordProblem::Compromised.into());
        }
    }
    hooks::password(app, password, (own.email, own.name)).await?;
    Ok(app.hasher.hash(password.clone(), client).await?)
}

/// The longest address of a picture, in bytes.
const MAX_IMAGE_BYTES: usize = 2048;

/// Whether the text may be the address of a picture (HT-07): https, and of a length that fits a token. It is never fetched.
///
/// # Errors
/// `InvalidImage`.
pub fn check_image(image: &str) -> Result<(), ServiceError> {
    if image.len() > MAX_IMAGE_BYTES {
        Err(ServiceError::InvalidImage("it has more than 2048 bytes"))
    } else if !image.is_empty() && !text::is_https_url(image) {
        Err(ServiceError::InvalidImage("it is no https URL"))
    } else {
        Ok(())
    }
}

/// Whether the text may be a display name (HT-07): at most 256 code points, nothing that a terminal or a log would act on.
///
/// # Errors
/// `InvalidName`.
pub fn check_name(name: &str) -> Result<(), ServiceError> {
    if name.chars().count() > text::MAX_NAME_CHARS {
        Err(ServiceError::InvalidName("it has more than 256 characters"))
    } else if name.chars().any(text::is_forbidden_in_names) {
        Err(ServiceError::InvalidName("it contains control characters or invisible ones"))
    } else {
        Ok(())
    }
}
