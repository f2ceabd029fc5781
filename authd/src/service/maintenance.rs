//! What happens by itself: expired sessions are swept away in small steps, keys are rotated when they are old, old audit
//! records are removed.

use common::{Span, UnixTime, admin::Counts};

use super::{ServiceError, Services, audit, events, keys, throttle};

/// How many sessions one step removes: a larger one would hold up the writer.
const CHUNK: usize = 64;
/// How many steps one round makes.
const STEPS: usize = 200;

/// How old the latest time on record may become: so much may come back if the host's clock is set back while authd is down.
const NOTE_EVERY: Span = Span::from_mins(1);

/// How far the host's clock may be behind before the daemon calls itself unfit: what it signs would be from the future for
/// everybody else.
pub const UNSAFE_CLOCK: Span = Span::from_secs(30);

/// Why the daemon cannot do its work, or not safely; empty if it can.
pub fn problems(app: &Services) -> Vec<String> {
    let mut problems = vec![];
    if let Err(problem) = app.store.health() {
        problems.push(problem.to_string());
    }
    if app.store.keys().signing(app.clock.now()).is_none() {
        problems.push("no key signs: authctl keys rotate --now".into());
    }
    let behind = app.clock.wall_is_behind();
    if behind >= UNSAFE_CLOCK {
        problems.push(format!(
            "the host's clock is {behind} behind the latest time on record: set it (timedatectl); or, if it is right now and \
             was wrong before, start authd once with --trust-clock"
        ));
    }
    problems
}

/// How much there is in the store.
///
/// # Errors
/// It cannot be read.
pub async fn counts(app: &Services) -> Result<Counts, ServiceError> {
    Ok(app.store.counts().await?)
}

/// One round. Answers how many sessions and links were swept away.
///
/// # Errors
/// The store cannot write; the next round tries again.
pub async fn round(app: &Services) -> Result<u64, ServiceError> {
    let now = app.clock.now();
    let mut swept = 0;
    for _ in 0..STEPS {
        match app.store.sweep(now, CHUNK).await? {
            0 => break,
            n => swept += n,
        }
    }
    keys::tend(app).await?;
    throttle::sweep(app).await?;
    events::trim(app).await?;
    if now >= app.store.latest_time().await?.plus(NOTE_EVERY) {
        app.store.note_time(now).await?;
    }
    // At the end: it goes no further while somebody has tampered with the trail, and the rest must.
    audit::remove_old(app, now).await?;
    Ok(swept)
}

/// What operators should know of the secret of a server before, which counts until then.
pub fn takeover_note(until: UnixTime, now: UnixTime) -> String {
    if now < until {
        format!("cookies signed with the secret of the server before are taken until {until}")
    } else {
        "session.legacy_secret_until has passed: remove it, session.legacy_secret_file and the secret itself".into()
    }
}
