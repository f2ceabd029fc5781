//! Events: those that are kept, those that wait, and telling them once more.

use std::time::Duration;

use common::admin::{EventView, EventsReplayed, Page, ReplayEvents};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::EventKind,
    door::Reply,
    service::events as service,
    store::{Outboxed, Replay, Which},
};

/// How long a request may wait for the next event, in seconds.
const MOST_WAIT: u64 = 60;

fn view(app: &AdminApp, Outboxed { event, delivery }: Outboxed) -> EventView {
    let state = match &delivery {
        Some(delivery) if delivery.is_dead => "dead",
        Some(_) => "waiting",
        None if service::delivers(&app.services) => "told",
        None => "kept",
    };
    let (attempts, next_try, error) = match delivery {
        Some(delivery) => {
            let next_try = (!delivery.is_dead).then_some(delivery.next_try);
            (Some(delivery.attempts), next_try, delivery.error)
        }
        None => (None, None, None),
    };
    EventView {
        seq: event.seq,
        id: event.id(),
        r#type: event.topic.as_str().into(),
        at: event.at,
        user: event.user,
        session: event.session,
        details: event.facts,
        state: state.into(),
        attempts,
        next_try,
        error,
    }
}

/// `GET /v1/events`: with `wait`, in seconds, it answers only when there is an event behind `cursor`, or nothing after that time.
///
/// # Errors
/// `ValidationError`.
pub async fn list(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wrong = |name: &str| AdminError::validation(format!("'{name}' is a number"));
    let which = match req.query::<String>("state")?.as_deref() {
        None | Some("all") => Which::All,
        Some("waiting") => Which::Waiting,
        Some("dead") => Which::Dead,
        Some(_) => return Err(AdminError::validation("'state' is all, waiting or dead")),
    };
    let number = |name: &str| -> Result<Option<u64>, AdminError> {
        req.query::<String>(name)?.map(|text| text.parse().map_err(|_| wrong(name))).transpose()
    };
    let services = &app.services;
    let from = number("cursor")?;
    // The last few, where nobody says from where on.
    let latest = match number("latest")? {
        Some(latest) if from.is_none() => service::last(services).saturating_sub(latest),
        _ => 0,
    };
    let after = from.unwrap_or(latest);
    if let Some(wait) = number("wait")? {
        service::wait(services, after, Duration::from_secs(wait.min(MOST_WAIT))).await;
    }
    let found = service::list(services, which, after, req.limit()?).await?;
    let items = found.items.into_iter().map(|item| view(app, item)).collect();
    Ok(Reply::json(&Page::<EventView> { items, next: found.next }))
}

/// `POST /v1/events/replay`
///
/// # Errors
/// `ValidationError`; `Conflict` where the application is told nothing.
pub async fn replay(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let asked: ReplayEvents = req.json()?;
    let which = match asked {
        ReplayEvents { dead: true, one: None, from: None } => Replay::Dead,
        ReplayEvents { dead: false, one: Some(seq), from: None } => Replay::One(seq),
        ReplayEvents { dead: false, one: None, from: Some(seq) } => Replay::From(seq),
        ReplayEvents { .. } => return Err(AdminError::validation("say one of 'dead', 'one' and 'from'")),
    };
    let services = &app.services;
    if !service::delivers(services) {
        return Err(AdminError::new(common::ErrorCode::Conflict)
            .cause("the application is told of nothing")
            .fix("set events.url and events.secret_file"));
    }
    let replayed = service::replay(services, which, req.act(services.clock.now())).await?;
    if replayed > 0 {
        req.log_done(EventKind::EventsReplayed, &format!("{which:?}"));
    }
    Ok(Reply::json(&EventsReplayed { replayed }))
}
