//! How the daemon is.

use common::admin::{Hashing, Status};

use super::{AdminApp, AdminError, AdminReq, mail, store::view};
use crate::{
    config::Mode,
    door::Reply,
    service::{events, hooks, keys, mail as service, maintenance, store},
};

/// `GET /v1/status`
///
/// # Errors
/// The store cannot be read.
pub async fn show(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let now = services.clock.now();
    let info = &app.info;
    let keys = keys::current(services);
    let signing_key = keys.signing(now);
    let mut problems = maintenance::problems(services);
    let ready = problems.is_empty();
    if let Some(key) = signing_key.filter(|key| key.algorithm != services.policy.algorithm) {
        problems.push(format!(
            "the signing key is {}, and keys.algorithm is {}: it changes with the next rotation (authctl keys rotate)",
            key.algorithm.as_str(),
            services.policy.algorithm.as_str()
        ));
    }
    let read = &app.last_read;
    problems.extend(
        read.problems.iter().map(|problem| format!("what the configuration says now is not in force: {problem}")),
    );
    let indistinct = services.throttles.indistinct();
    if let Some((peer, count)) = indistinct.not_believed {
        problems.push(format!(
            "{count} requests by {peer} named other clients, and it is not in http.trusted_proxies: they all counted as one \
             client. Add it there, if it is your proxy; if it is not, whoever sends such headers gains nothing"
        ));
    }
    if let Some((peer, count)) = indistinct.not_readable {
        problems.push(format!(
            "{count} requests by the trusted proxy {peer} named their clients by what is no address: they all counted as one \
             client. The log shows the first; http.client_address says which header is read"
        ));
    }
    let files = store::files(services)?;
    problems.extend(files.problem.iter().map(|problem| {
        format!("the last snapshot of the store failed, and the commit log grows until one is made: {problem}")
    }));
    let mail_summary = service::summary(services).await?;
    if mail_summary.dead > 0 {
        problems.push(format!("{} mails were given up: authctl mail queue, and authctl mail retry", mail_summary.dead));
    }
    problems.extend(events::problems(services).await?);
    problems.extend(hooks::list(services).into_iter().filter(|hook| hook.rests_until.is_some()).map(|shown| {
        let (name, why) = (shown.hook.as_str(), shown.last_failure.map(|(_, why)| why).unwrap_or_default());
        format!("the hook {name} does not answer ({why}): authctl hook test {name}")
    }));
    let log_lines_dropped = (info.log_lines_dropped)();
    if log_lines_dropped > 0 {
        problems.push(format!("the log has lost {log_lines_dropped} lines since the start: nobody read them in time"));
    }
    let mut notes = read.advice.clone();
    notes.extend(indistinct.not_named.map(|(peer, count)| {
        format!(
            "{count} requests by the trusted proxy {peer} named no client, and counted as its own: if they were those of \
             others, let it set the header that http.client_address names"
        )
    }));
    let backups = &services.backups;
    if info.mode == Mode::Production && backups.shelf.recipients().is_empty() {
        notes.push(
            "recovery is missing: if this host and its master key are lost, no backup opens. authctl backup recipient new \
             FILE makes an identity to be kept elsewhere; its recipient goes into backup.recipients"
                .into(),
        );
    }
    if info.mode == Mode::Production && backups.schedule.is_none() {
        notes.push("no backups are made by themselves: backup.directory says where to".into());
    }
    let backup = super::backups::status(services, &mut problems).await;
    notes.extend(info.legacy_secret_until.map(|until| maintenance::takeover_note(until, now)));
    let load = services.hasher.load();
    Ok(Reply::json(&Status {
        version: env!("CARGO_PKG_VERSION").into(),
        mode: info.mode.as_str().into(),
        pid: std::process::id(),
        started_at: info.started_at,
        now,
        ready,
        problems,
        notes,
        listen: info.listen.clone(),
        public_url: info.public_url.clone(),
        config: info
            .config
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()),
        config_read_at: Some(read.at),
        needs_restart: read.needs_restart.clone(),
        role: Some(req.role.as_str().into()),
        data_dir: info.data_dir.display().to_string(),
        counts: maintenance::counts(services).await?,
        store: view(&files),
        signing_key: signing_key.map(|key| key.kid.clone()),
        hashing: Hashing { threads: load.threads as u64, queued: load.waiting as u64, capacity: load.capacity as u64 },
        connections: app.connections.get(),
        mail: mail::view(mail_summary),
        backup,
        log_lines_dropped,
    }))
}
