//! What Prometheus reads: on the admin socket, and on an address of its own where one is configured.

use std::sync::Arc;

use common::UnixTime;
use http::{HeaderValue, Method, StatusCode, header};
use warp::{Filter, reply::Response};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    door::{Head, Reply},
    live::Live,
    metrics::{Page, family, process, requests::CLASSES},
    service::{ServiceError, backups, events, hooks, keys, mail, maintenance, store},
    store::StoreError,
};

/// `GET /metrics`
///
/// # Errors
/// The store cannot be read.
pub async fn show(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    Ok(reply(page(app).await?))
}

fn reply(page: Page) -> Reply {
    Reply::bytes(HeaderValue::from_static(Page::CONTENT_TYPE), page.into_text().into())
}

/// The same page and nothing else, for whoever can reach the address (OP-03: there is nothing of users on it).
pub fn filter(
    live: Arc<Live<AdminApp>>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    warp::ext::get::<Arc<Head>>().then(move |head: Arc<Head>| {
        let app = live.get();
        async move {
            let reply = match (&head.method, head.path()) {
                (&Method::GET, "/metrics") => page(&app).await.map_or_else(|_| failed(), reply),
                _ => Reply::empty(StatusCode::NOT_FOUND),
            };
            reply
                .header(header::CACHE_CONTROL, "no-store")
                .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                .into_response()
        }
    })
}

fn failed() -> Reply {
    Reply::empty(StatusCode::SERVICE_UNAVAILABLE)
}

/// Seconds since 1970.
#[allow(clippy::cast_precision_loss)] // for some hundred thousand years
fn seconds(time: UnixTime) -> f64 {
    time.as_millis() as f64 / 1e3
}

/// Everything, in the order of the table.
async fn page(app: &AdminApp) -> Result<Page, ServiceError> {
    let mut page = Page::default();
    of_daemon(app, &mut page);
    of_door(app, &mut page);
    of_use_cases(app, &mut page).await?;
    of_hashing(app, &mut page);
    of_store(app, &mut page)?;
    of_backups(app, &mut page).await;
    of_caches(app, &mut page);
    of_keys(app, &mut page);
    of_mail(app, &mut page).await?;
    of_hooks(app, &mut page);
    of_events(app, &mut page).await?;
    of_process(app, &mut page);
    Ok(page)
}

fn of_daemon(app: &AdminApp, page: &mut Page) {
    let services = &app.services;
    page.count(&family::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    page.flag(&family::READY, maintenance::problems(services).is_empty());
    page.number(&family::CLOCK_BEHIND, &[], services.clock.wall_is_behind().to_std().as_secs_f64());
    page.flag(&family::CONFIG_IN_FORCE, app.last_read.problems.is_empty());
    page.number(&family::CONFIG_READ, &[], seconds(app.last_read.at));
    page.count(&family::LOG_DROPPED, &[], (app.info.log_lines_dropped)());
}

fn of_door(app: &AdminApp, page: &mut Page) {
    let requests = &app.info.requests;
    let routes = requests.read();
    for of in &routes {
        for (class, count) in CLASSES.iter().zip(of.answers).filter(|(_, count)| *count > 0) {
            page.count(&family::REQUESTS, &[of.method, of.route, class], count);
        }
    }
    for of in &routes {
        page.distribution(&family::REQUEST_SECONDS, &[of.method, of.route], &of.seconds);
    }
    page.count(&family::REQUESTS_THROTTLED, &[], requests.throttled.get());
    page.count(&family::CONNECTIONS, &[], app.connections.get());
    page.count(&family::CONNECTIONS_LIMIT, &[], app.connections.limit() as u64);
}

async fn of_use_cases(app: &AdminApp, page: &mut Page) -> Result<(), ServiceError> {
    let services = &app.services;
    for (outcome, count) in services.counts.sign_ins.read() {
        page.count(&family::SIGN_INS, &[outcome], count);
    }
    for (outcome, count) in services.counts.refreshes.read() {
        page.count(&family::REFRESHES, &[outcome], count);
    }
    for (event, count) in store::work(services).events {
        page.count(&family::EVENTS, &[event.as_str()], count);
    }
    let counts = maintenance::counts(services).await?;
    page.count(&family::USERS, &[], counts.users);
    page.count(&family::SESSIONS, &[], counts.sessions);
    page.count(&family::AUDIT_RECORDS, &[], counts.audit);
    Ok(())
}

fn of_hashing(app: &AdminApp, page: &mut Page) {
    let (load, work) = (app.services.hasher.load(), app.services.hasher.work());
    page.count(&family::HASH_THREADS, &[], load.threads as u64);
    page.count(&family::HASH_BUSY, &[], work.busy);
    page.count(&family::HASH_QUEUED, &[], load.waiting as u64);
    page.count(&family::HASH_CAPACITY, &[], load.capacity as u64);
    page.count(&family::HASH_REFUSED, &[], work.refused);
    page.distribution(&family::HASH_SECONDS, &[], &work.seconds);
}

fn of_store(app: &AdminApp, page: &mut Page) -> Result<(), ServiceError> {
    let health = store::health(&app.services);
    let (files, work) = (store::files(&app.services)?, store::work(&app.services));
    page.flag(&family::STORE_POISONED, matches!(health, Err(StoreError::Unavailable(_))));
    page.flag(&family::STORE_FULL, matches!(health, Err(StoreError::Full)));
    if let Some(free) = files.free_bytes {
        page.count(&family::STORE_FREE, &[], free);
    }
    page.count(&family::STORE_RESERVE, &[], files.reserve_bytes);
    page.count(&family::STORE_SEQUENCE, &[], files.sequence);
    page.count(&family::STORE_LOG_BYTES, &[], files.log_bytes);
    page.count(&family::STORE_LOG_SEGMENTS, &[], files.log_segments);
    page.count(&family::STORE_FILE_BYTES, &[], files.file_bytes);
    page.distribution(&family::STORE_COMMIT_SECONDS, &[], &work.commits);
    page.distribution(&family::STORE_GROUP_SIZE, &[], &work.groups);
    if let Some((_, bytes, made_at)) = files.snapshot {
        page.number(&family::STORE_SNAPSHOT, &[], seconds(made_at));
        page.count(&family::STORE_SNAPSHOT_BYTES, &[], bytes);
    }
    page.flag(&family::STORE_SNAPSHOT_FAILED, files.problem.is_some());
    Ok(())
}

async fn of_backups(app: &AdminApp, page: &mut Page) {
    let newest = backups::newest(&app.services, app.services.clock.now()).await;
    if let Ok(Some(newest)) = &newest {
        page.number(&family::BACKUP, &[], seconds(newest.made_at));
        page.count(&family::BACKUP_BYTES, &[], newest.bytes);
    }
    page.flag(&family::BACKUP_FAILED, newest.is_err() || app.services.backups.unmade().is_some());
}

fn of_caches(app: &AdminApp, page: &mut Page) {
    let work = store::work(&app.services);
    page.count(&family::STORE_UNREADABLE, &[], work.unreadable);
    for (cache, hits, misses) in work.lookups {
        page.count(&family::STORE_CACHE, &[cache, "hit"], hits);
        page.count(&family::STORE_CACHE, &[cache, "miss"], misses);
    }
}

fn of_keys(app: &AdminApp, page: &mut Page) {
    let (now, policy) = (app.services.clock.now(), &app.services.policy.keys);
    let keys = keys::current(&app.services);
    if let Some(key) = keys.signing(now) {
        page.number(&family::KEY_SINCE, &[], seconds(key.signs_at));
    }
    if let Some(at) = keys.next_rotation(policy, now) {
        page.number(&family::KEY_NEXT, &[], seconds(at));
    }
    page.count(&family::KEYS_PUBLISHED, &[], keys.published(now).count() as u64);
}

async fn of_mail(app: &AdminApp, page: &mut Page) -> Result<(), ServiceError> {
    let summary = mail::summary(&app.services).await?;
    page.count(&family::MAIL_WAITING, &[], summary.waiting);
    if let Some(oldest) = summary.oldest {
        page.number(&family::MAIL_OLDEST, &[], seconds(oldest));
    }
    page.count(&family::MAIL_GIVEN_UP, &[], summary.dead);
    page.count(&family::MAIL_SENT, &[], app.services.counts.mails_sent.get());
    page.count(&family::MAIL_FAILURES, &[], app.services.counts.mail_failures.get());
    Ok(())
}

fn of_hooks(app: &AdminApp, page: &mut Page) {
    let hooks = &app.services.hooks;
    for (hook, calls, _) in hooks.counts() {
        for (outcome, count) in calls.read() {
            page.count(&family::HOOK_CALLS, &[hook.as_str(), outcome], count);
        }
    }
    for (hook, _, seconds) in hooks.counts() {
        page.distribution(&family::HOOK_SECONDS, &[hook.as_str()], &seconds);
    }
    for shown in hooks::list(&app.services) {
        page.count(&family::HOOK_RESTING, &[shown.hook.as_str()], u64::from(shown.rests_until.is_some()));
    }
}

async fn of_events(app: &AdminApp, page: &mut Page) -> Result<(), ServiceError> {
    let summary = events::summary(&app.services).await?;
    page.count(&family::OUTBOX_WAITING, &[], summary.backlog.waiting);
    if let Some(oldest) = summary.backlog.oldest {
        page.number(&family::OUTBOX_OLDEST, &[], seconds(oldest));
    }
    page.count(&family::OUTBOX_GIVEN_UP, &[], summary.backlog.dead);
    page.count(&family::OUTBOX_TOLD, &[], summary.told);
    page.count(&family::OUTBOX_FAILURES, &[], summary.failures);
    page.count(&family::OUTBOX_LOST, &[], summary.lost);
    page.flag(&family::OUTBOX_RESTING, summary.rests);
    Ok(())
}

fn of_process(app: &AdminApp, page: &mut Page) {
    let process = process::read();
    if let Some(seconds) = process.cpu_seconds {
        page.number(&family::PROCESS_CPU, &[], seconds);
    }
    let known = [
        (&family::PROCESS_MEMORY, process.resident_bytes),
        (&family::PROCESS_FILES, process.open_files),
        (&family::PROCESS_MAX_FILES, process.max_files),
    ];
    for (family, number) in known {
        if let Some(number) = number {
            page.count(family, &[], number);
        }
    }
    page.number(&family::PROCESS_START, &[], seconds(app.info.started_at));
}
