//! What the configuration says of the application, put together: where it is called, and by which secret it knows the call.

use std::sync::Arc;

use tracing::info;

use crate::{
    config::{Config, places::SecretPlace},
    crypto::secret_file,
    exit::{Exit, Failure},
    ports::Target,
    service::hooks::Hooks,
    webhook::{Connections, Signer, Webhook},
};

fn refuse(key: &str, message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Configuration, format!("{key}: {message}"))
}

fn signer(key: &str, place: Option<&SecretPlace>, credential: &str) -> Result<Signer, Failure> {
    let Some(place) = place else {
        return Err(refuse(key, "it must be set: the application knows our requests by it").fix(format!(
            "printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\" into a file of mode 0600 and name it, or hand over the credential {credential}"
        )));
    };
    let text = secret_file::read(&place.path, place.is_credential).map_err(|problem| refuse(key, problem))?;
    let text = text.ok_or_else(|| refuse(key, format!("{} has no secret", place.path.display())))?;
    Signer::from_text(&text).map_err(|problem| refuse(key, format!("{}: {problem}", place.path.display())))
}

/// The hooks that are configured.
///
/// # Errors
/// The secret is missing or not safe, certificates cannot be read.
pub fn hooks(config: &Config) -> Result<Hooks, Failure> {
    let s = &config.settings.hooks;
    if config.hooks().next().is_none() {
        return Ok(Hooks::default());
    }
    let signer = signer("hooks.secret_file", config.places.hook_secret.as_ref(), "authd.hook-secret")?;
    let signer = Arc::new(signer);
    let pool = Connections::new(s.ca_file.as_deref()).map_err(|problem| refuse("hooks.ca_file", problem))?;
    let mut targets = vec![];
    for (hook, key, url) in config.hooks() {
        let target = Webhook::new(url.as_str(), pool.clone(), signer.clone(), s.timeout.to_std());
        let target: Box<dyn Target> = Box::new(target.map_err(|problem| refuse(key, problem))?);
        let fails_open = s.fail_open.iter().any(|name| name.0 == hook);
        info!(hook = hook.as_str(), to = target.describe(), fails_open, "a hook is on");
        targets.push((hook, target, fails_open));
    }
    Ok(Hooks::new(targets, s.max_concurrent as usize))
}
