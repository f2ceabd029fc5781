//! Accounts that come from another server, batch by batch.

use common::{
    ErrorCode,
    admin::Page,
    import::{ImportBatch, ImportReport, ImportUndone, ImportView, MAX_ACCOUNTS, UndoImport},
};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{EventKind, Import},
    door::Reply,
    service::imports,
};

fn view(import: &Import) -> ImportView {
    ImportView {
        id: import.id.clone(),
        source: import.source.clone(),
        users: import.users,
        passwords: import.passwords,
        sessions: import.sessions,
        began_at: import.began_at,
        changed_at: import.changed_at,
    }
}

/// `GET /v1/imports`
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let items: Vec<ImportView> = imports::list(&app.services).await?.iter().map(view).collect();
    Ok(Reply::json(&Page { items, next: None }))
}

/// `GET /v1/imports/fields`
///
/// # Errors
/// None.
pub async fn fields(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    Ok(Reply::json(&imports::room(&app.services)))
}

/// `POST /v1/imports`
///
/// # Errors
/// `ValidationError`.
pub async fn store(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let batch: ImportBatch = req.json()?;
    if batch.accounts.len() > MAX_ACCOUNTS {
        return Err(AdminError::validation(format!("a batch has at most {MAX_ACCOUNTS} accounts")));
    }
    if !matches!(batch.source.as_str(), "better-auth" | "users") {
        return Err(AdminError::validation("source is better-auth or users"));
    }
    let (dry_run, id) = (batch.dry_run, batch.import.clone());
    let findings = match dry_run {
        true => imports::preview(&app.services, batch).await?,
        false => imports::store(&app.services, batch, req.act(app.services.clock.now())).await?,
    };
    let users = findings.count(common::import::Finding::User);
    if !dry_run && users > 0 {
        req.log_done(EventKind::UsersImported, &format!("{users} users of import {id}"));
    }
    Ok(Reply::json(&ImportReport { findings, dry_run }))
}

/// `POST /v1/imports/{import}/undo`
///
/// # Errors
/// `NotFound`.
pub async fn undo(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let UndoImport { dry_run } = req.json()?;
    let unknown = || AdminError::new(ErrorCode::NotFound).cause("there is no such import").fix("authctl import list");
    let id = req.param("import").parse().map_err(|_| unknown())?;
    if dry_run {
        let import = imports::find(&app.services, &id).await?.ok_or_else(unknown)?;
        let (users, sessions, left) = (0, 0, import.users);
        return Ok(Reply::json(&ImportUndone { import: view(&import), users, sessions, left, dry_run }));
    }
    let undone = imports::undo(&app.services, id, req.act(app.services.clock.now())).await?.ok_or_else(unknown)?;
    let left = undone.import.users.saturating_sub(undone.users);
    req.log_done(EventKind::ImportUndone, &format!("{} users of import {}", undone.users, undone.import.id));
    let (import, users, sessions) = (view(&undone.import), undone.users, undone.sessions);
    Ok(Reply::json(&ImportUndone { import, users, sessions, left, dry_run }))
}
