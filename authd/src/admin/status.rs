//! How the daemon is.

use common::admin::{Hashing, Status};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    door::Reply,
    service::{keys, maintenance},
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
    let load = services.hasher.load();
    Ok(Reply::json(&Status {
        version: env!("CARGO_PKG_VERSION").into(),
        mode: info.mode.as_str().into(),
        pid: std::process::id(),
        started_at: info.started_at,
        now,
        ready,
        problems,
        notes: read.advice.clone(),
        listen: info.listen.clone(),
        public_url: info.public_url.clone(),
        config: info.config.as_ref().map(|path| path.display().to_string()),
        config_read_at: Some(read.at),
        needs_restart: read.needs_restart.clone(),
        role: Some(req.role.as_str().into()),
        data_dir: info.data_dir.display().to_string(),
        counts: maintenance::counts(services).await?,
        signing_key: signing_key.map(|key| key.kid.clone()),
        hashing: Hashing { threads: load.threads as u64, queued: load.waiting as u64, capacity: load.capacity as u64 },
        connections: app.connections.get(),
    }))
}
