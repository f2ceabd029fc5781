//! Taking over from a Better Auth server: its secret (`BETTER_AUTH_SECRET`) goes on verifying the cookies that browsers have,
//! until a deadline, and never signs anything.

use std::sync::Arc;

use common::{Span, UnixTime};
use tracing::{info, warn};

use crate::{
    config::Config,
    crypto::{known::weakness, mac::HmacKey, secret_file},
    exit::{Exit, Failure},
    ports::Takeover,
    service::maintenance::takeover_note,
};

/// How far ahead the deadline may be at most: longer than sessions live, and not for good.
pub const LONGEST: Span = Span::from_days(90);

/// Whether the deadline may stand there at `now`.
///
/// # Errors
/// It is too far ahead.
pub fn check_deadline(config: &Config, now: UnixTime) -> Result<(), Failure> {
    match config.settings.session.legacy_secret_until {
        Some(until) if until > now.plus(LONGEST) => {
            let message = format!("session.legacy_secret_until: {until} is more than {LONGEST} ahead");
            Err(Failure::new(Exit::Configuration, message)
                .fix(format!("choose a day within {LONGEST}: every cookie that is used until then is signed anew")))
        }
        _ => Ok(()),
    }
}

/// The secret, if one is configured and its deadline has not passed. After that not even its file is looked for.
///
/// # Errors
/// The file is not safe, is missing, or has a secret that others may know.
pub fn load(config: &Config, now: UnixTime) -> Result<Option<Takeover>, Failure> {
    let refuse = |message: String| Failure::new(Exit::Configuration, format!("session.legacy_secret_file: {message}"));
    let Some(until) = config.settings.session.legacy_secret_until else { return Ok(None) };
    if now >= until {
        warn!("{}", takeover_note(until, now));
        return Ok(None);
    }
    let Some(place) = &config.places.legacy_secret else {
        return Err(refuse("it must be set where session.legacy_secret_until is".into())
            .fix("name the file with the BETTER_AUTH_SECRET, or hand over the credential authd.legacy-secret"));
    };
    if !place.is_credential && secret_file::lies_in(&place.path, &config.places.data_dir) {
        return Err(refuse(format!("{} lies in the data directory", place.path.display())).fix("move it out"));
    }
    let text = secret_file::read(&place.path, place.is_credential).map_err(|problem| refuse(problem.to_string()))?;
    let shown = place.path.display();
    let Some(text) = text else { return Err(refuse(format!("{shown} has no secret: it is too long, or no text"))) };
    let secret = text.expose();
    let secret = secret.strip_suffix('\n').map_or(secret, |line| line.strip_suffix('\r').unwrap_or(line));
    if let Some(why) = weakness(secret) {
        return Err(refuse(format!("the secret in {shown} is not safe: {why}"))
            .fix("leave both settings out: whoever knows it could sign cookies; people sign in again"));
    }
    info!(%until, "cookies signed with the secret of the server before are taken");
    Ok(Some(Takeover { mac: Arc::new(HmacKey::new(secret.as_bytes())), until }))
}
