//! Events told to the application: at least once, those of one user in their order, again until it has taken them or their time
//! is over. What is told was written down by the act itself ([`crate::store::Outbox`]).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{Span, UnixTime};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{
    ServiceError, Services,
    hooks::{VERSION, user_json},
};
use crate::{
    domain::{Act, Breaker, Delivery, Event, EventKind, Outgoing, Topic},
    metrics::Counter,
    ports::{Call, Target},
    store::{Backlog, Outboxed, Page, Replay, Which},
};

/// How many events a look at the queue takes, and how many looks there are until it begins anew: the queue may be long, and its
/// beginning wait.
const CHUNK: usize = 512;
/// See [`CHUNK`].
const LOOKS: usize = 64;
/// Of how many users events are told at once.
const AT_ONCE: usize = 4;
/// How many events one step removes: a larger one would hold up the writer.
const STEP: usize = 256;

/// The configured rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPolicy {
    /// What the application is told of; empty: everything.
    pub topics: Vec<Topic>,
    /// How long it is tried.
    pub patience: Span,
    /// How long events are kept.
    pub retention: Span,
    /// And how many.
    pub keep: u64,
}

/// Where events go, and how that goes.
#[derive(Default)]
pub struct Room {
    target: Option<Box<dyn Target>>,
    /// One round at a time: two would tell the same.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<RoomState>,
    told: Counter,
    failures: Counter,
    /// Who waits for events does not hold up the end.
    ending: watch::Sender<bool>,
}

#[derive(Default)]
struct RoomState {
    breaker: Breaker,
    last_failure: Option<(UnixTime, String)>,
    /// How many were removed since the start that nobody had been told of.
    lost: u64,
}

impl Room {
    /// With the application's address; `None`: it is not told.
    pub fn new(target: Option<Box<dyn Target>>) -> Self {
        Self { target, ..Self::default() }
    }

    /// How many wait for the next event.
    pub fn waiting(&self) -> usize {
        self.ending.receiver_count()
    }

    /// Nobody waits for events any more.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    fn state(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what is due. Answers how much was told.
///
/// # Errors
/// The store cannot be read or written.
pub async fn round(app: &Services) -> Result<u64, ServiceError> {
    let Some(target) = app.events.target.as_deref() else { return Ok(0) };
    let _turn = app.events.turn.lock().await;
    let mut told = 0;
    loop {
        let lanes = lanes(app).await?;
        let outcomes = stream::iter(lanes).map(|lane| attend(app, target, lane)).buffer_unordered(AT_ONCE);
        let mut now_told = 0;
        for outcome in outcomes.collect::<Vec<_>>().await {
            now_told += outcome?;
        }
        told += now_told;
        if now_told == 0 {
            return Ok(told);
        }
    }
}

/// What may be told now, for each user in order. Whose first event waits for another try has nothing to be told.
async fn lanes(app: &Services) -> Result<Vec<Vec<Outboxed>>, ServiceError> {
    let now = app.clock.now();
    let mut lanes: BTreeMap<Option<String>, Option<Vec<Outboxed>>> = BTreeMap::new();
    let (mut after, mut found) = (0, 0);
    for _ in 0..LOOKS {
        let page = app.store.events(Which::Waiting, after, CHUNK).await?;
        let Some(last) = page.items.last().map(|item| item.event.seq) else { break };
        for item in page.items {
            let is_due = item.delivery.as_ref().is_some_and(|delivery| delivery.next_try <= now);
            let user = item.event.user.as_ref().map(ToString::to_string);
            let lane = lanes.entry(user).or_insert_with(|| is_due.then(Vec::new));
            if let Some(lane) = lane {
                lane.push(item);
                found += 1;
            }
        }
        after = last;
        if found >= CHUNK || page.next.is_none() {
            break;
        }
    }
    Ok(lanes.into_values().flatten().collect())
}

/// Tells the events of one user, as far as the application takes them. Answers how many it took.
async fn attend(app: &Services, target: &dyn Target, lane: Vec<Outboxed>) -> Result<u64, ServiceError> {
    let mut outcomes = vec![];
    for Outboxed { event, delivery } in lane {
        let (seq, now) = (event.seq, app.clock.now());
        let topics = &app.policy.events.topics;
        if !topics.is_empty() && !topics.contains(&event.topic) {
            outcomes.push((seq, None));
            continue;
        }
        if !app.events.state().breaker.admits(now) {
            break;
        }
        let call = Call { id: event.id(), at: now, body: Zeroizing::new(body(app, &event).await?.to_string().into()) };
        let problem = match target.call(&call).await {
            Ok(answer) if (200..300).contains(&answer.status) => None,
            Ok(answer) => Some(format!("it answered {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        let Some(problem) = problem else {
            app.events.state().breaker.succeeded();
            app.events.told.one();
            outcomes.push((seq, None));
            continue;
        };
        let now = app.clock.now();
        app.events.failures.one();
        let mut state = app.events.state();
        state.breaker.failed(now);
        state.last_failure = Some((now, problem.clone()));
        drop(state);
        let delivery =
            delivery.unwrap_or_else(|| Delivery::begun(now)).failed(problem.clone(), app.policy.events.patience, now);
        let (id, attempts, given_up, next_try) = (call.id, delivery.attempts, delivery.is_dead, delivery.next_try);
        warn!(event = id, attempts, given_up, %next_try, error = problem, "an event was not taken");
        let is_dead = delivery.is_dead;
        outcomes.push((seq, Some(delivery)));
        // What comes after it waits with it, until it is given up.
        if !is_dead {
            break;
        }
    }
    let told = outcomes.iter().filter(|(_, left)| left.as_ref().is_none_or(|delivery| delivery.is_dead)).count() as u64;
    if !outcomes.is_empty() {
        app.store.note_deliveries(outcomes).await?;
    }
    Ok(told)
}

/// What is told of an event. The user is as at this moment: nothing of somebody who was deleted meanwhile.
///
/// # Errors
/// The store cannot be read.
pub async fn body(app: &Services, event: &Outgoing) -> Result<Value, ServiceError> {
    let user = match &event.user {
        Some(id) => app.store.user(id).await?.map(|user| user_json(app, &user)),
        None => None,
    };
    let mut data = json!({"userId": event.user, "sessionId": event.session, "user": user});
    for (name, fact) in &event.facts {
        data[name] = json!(fact);
    }
    Ok(json!({
        "type": event.topic.as_str(),
        "version": VERSION,
        "timestamp": event.at,
        "sequence": event.seq,
        "data": data,
    }))
}

/// Removes events that are older, or more, than the configuration allows.
///
/// # Errors
/// The store cannot be written.
pub async fn trim(app: &Services) -> Result<u64, ServiceError> {
    let policy = &app.policy.events;
    let before =
        UnixTime::from_millis(app.clock.now().as_millis().saturating_sub_unsigned(policy.retention.as_millis()));
    let mut removed = 0;
    loop {
        let step = app.store.trim_events(before, policy.keep, STEP).await?;
        removed += step.removed;
        if step.untold > 0 {
            app.events.state().lost += step.untold;
            warn!(
                events = step.untold,
                "events were removed that the application had not taken: they were too old or too many"
            );
        }
        if step.removed < STEP as u64 {
            return Ok(removed);
        }
    }
}

/// A page of events.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, ServiceError> {
    Ok(app.store.events(which, after, limit).await?)
}

/// Waits until there are events behind this one, or for so long.
pub async fn wait(app: &Services, after: u64, most: std::time::Duration) {
    let (mut published, mut ending) = (app.store.published(), app.events.ending.subscribe());
    tokio::select! {
        _ = published.wait_for(|last| *last > after) => {}
        _ = ending.wait_for(|ending| *ending) => {}
        () = tokio::time::sleep(most) => {}
    }
}

/// The number of the last event.
pub fn last(app: &Services) -> u64 {
    *app.store.published().borrow()
}

/// Lets events be told once more.
///
/// # Errors
/// The store cannot be written.
pub async fn replay(app: &Services, which: Replay, act: Act) -> Result<u64, ServiceError> {
    let replayed = app.store.replay_events(which, act, Event::new(EventKind::EventsReplayed)).await?;
    if replayed > 0 {
        info!(events = replayed, "events are told once more");
    }
    Ok(replayed)
}

/// Whether the application is told of events.
pub fn delivers(app: &Services) -> bool {
    app.events.target.is_some()
}

/// How telling goes, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What there is to be told.
    pub backlog: Backlog,
    /// How many the application has taken since the start.
    pub told: u64,
    /// How many tries have failed since then.
    pub failures: u64,
    /// How many were removed since then that nobody had been told of.
    pub lost: u64,
    /// Whether the application is left alone now.
    pub rests: bool,
}

/// See [`Summary`].
///
/// # Errors
/// The store cannot be read.
pub async fn summary(app: &Services) -> Result<Summary, ServiceError> {
    let backlog = app.store.backlog().await?;
    let (room, state) = (&app.events, app.events.state());
    let rests = state.breaker.rests_until(app.clock.now()).is_some();
    Ok(Summary { backlog, told: room.told.get(), failures: room.failures.get(), lost: state.lost, rests })
}

/// What operators should know: the application does not take events, or some were lost.
///
/// # Errors
/// The store cannot be read.
pub async fn problems(app: &Services) -> Result<Vec<String>, ServiceError> {
    let mut problems = vec![];
    let (resting, why, lost) = {
        let state = app.events.state();
        let why = state.last_failure.as_ref().map(|(_, why)| why.clone());
        (state.breaker.rests_until(app.clock.now()).is_some(), why.unwrap_or_default(), state.lost)
    };
    if resting {
        problems.push(format!("the application does not take events ({why}): authctl events list --state waiting"));
    }
    if !app.store.events(Which::Dead, 0, 1).await?.items.is_empty() {
        problems
            .push("events were given up: authctl events list --state dead, and authctl events replay --dead".into());
    }
    if lost > 0 {
        problems.push(format!("{lost} events were removed since the start that the application had not taken"));
    }
    Ok(problems)
}
