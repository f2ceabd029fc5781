//! What the configuration says of the application, put together: where it is called, and by which secret it knows the call.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    config::{Config, places::SecretPlace},
    crypto::secret_file,
    exit::{Exit, Failure},
    live::Live,
    net,
    ports::Target,
    service::{Services, events, hooks::Hooks},
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
        targets.push((hook, target));
    }
    Ok(Hooks::new(targets, s.max_concurrent as usize))
}

/// Where events go, as configured.
///
/// # Errors
/// As [`hooks`].
pub fn events(config: &Config) -> Result<events::Room, Failure> {
    let s = &config.settings.events;
    let Some(url) = &s.url else { return Ok(events::Room::default()) };
    let signer = signer("events.secret_file", config.places.event_secret.as_ref(), "authd.event-secret")?;
    let pool = Connections::new(s.ca_file.as_deref()).map_err(|problem| refuse("events.ca_file", problem))?;
    let target = Webhook::new(url.as_str(), pool, Arc::new(signer), s.timeout.to_std());
    let target = target.map_err(|problem| refuse("events.url", problem))?;
    info!(to = target.describe(), "events are on");
    Ok(events::Room::new(Some(Box::new(target))))
}

/// How often the daemon looks for events that are due again.
const EVENTS_EVERY: Duration = Duration::from_secs(5);

/// Tells the application of what happens, at once and again when it is due, until the daemon stops. An event that is being told
/// then is told again at the next start.
pub(crate) async fn tell_events(services: Arc<Live<Services>>, mut stopping: watch::Receiver<bool>) {
    if !events::delivers(&services.get()) {
        return net::told(&mut stopping).await;
    }
    let mut published = services.get().store.published();
    let mut ticks = interval(EVENTS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = published.changed() => {}
            () = net::told(&mut stopping) => return,
        }
        let now = services.get();
        tokio::select! {
            outcome = events::round(&now) => {
                if let Err(error) = outcome {
                    warn!(%error, "the events that are due were not told; it is tried again");
                }
            }
            () = net::told(&mut stopping) => return,
        }
    }
}
