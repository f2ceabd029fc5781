//! The token of a service under the magnifying glass: whose it is, what it may, who made it, and who took it back.

use common::{ErrorCode, UnixTime};
use serde_json::Value;

use super::{
    super::{ServiceError, Services, service_tokens},
    inspect::Inspected,
};
use crate::{
    domain::{AuditRecord, EventKind, ServiceToken},
    store::AuditQuery,
};

/// How many records are read at once.
const PAGE: usize = 1000;

/// What the trail says of a token: somebody made it, or took it back.
struct Told {
    seq: u64,
    at: UnixTime,
    by: String,
    service: String,
    fingerprint: Option<String>,
}

impl Told {
    /// `None` of a record that was erased.
    fn of(record: &AuditRecord) -> Option<Self> {
        let open: Value = serde_json::from_str(&record.open).ok()?;
        let personal: Value = serde_json::from_str(record.personal.text()?).ok()?;
        let text = |at: &Value| at.as_str().map(str::to_owned);
        let by = text(&open["actor"]["name"]).or_else(|| text(&open["actor"]["kind"]))?;
        let details = &personal["details"];
        let (service, fingerprint) = (text(&details["service"])?, text(&details["fingerprint"]));
        Some(Self { seq: record.seq, at: record.at, by, service, fingerprint })
    }
}

/// All records of a kind, the newest first.
async fn trail(app: &Services, kind: EventKind) -> Result<Vec<Told>, ServiceError> {
    let (mut found, mut before) = (vec![], None);
    loop {
        let query = AuditQuery { user: None, kind: Some(kind), since: None, before, limit: PAGE };
        let page = app.store.audit(query).await?;
        before = page.items.last().map(|record| record.seq);
        found.extend(page.items.iter().filter_map(Told::of));
        if page.next.is_none() {
            return Ok(found);
        }
    }
}

/// Looks at it as the routes of administrators would. Not counted as a use, nor as a wrong one.
pub(super) async fn inspect(app: &Services, text: &str) -> Result<Inspected, ServiceError> {
    let mut report = Inspected::new("service_token");
    let Some(digest) = service_tokens::digest(text) else {
        return Ok(report.failed("form", "its length or its checksum is wrong", ErrorCode::InvalidToken));
    };
    report.held("form", "the checksum is right");
    match app.store.service_token(&digest).await? {
        Some(token) => known(app, report, token).await,
        None => unknown(app, report, &service_tokens::fingerprint(&digest)).await,
    }
}

async fn known(app: &Services, mut report: Inspected, token: ServiceToken) -> Result<Inspected, ServiceError> {
    report.held("service", token.name.as_str());
    let made = trail(app, EventKind::ServiceTokenCreated).await?;
    let made = made.into_iter().find(|told| told.service == token.name.as_str());
    report.held(
        "made",
        match made {
            Some(told) => format!("by {} at {} (audit record {})", told.by, told.at, told.seq),
            None => format!("at {}; the audit trail does not say any more by whom", token.created_at),
        },
    );
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    report.held("scopes", scopes.join(" "));
    let (is_active, end) = (token.is_active(app.clock.now()), token.expires_at);
    report.service = Some(token);
    let ends = end.map_or_else(|| "not until it is revoked".to_owned(), |end| end.to_string());
    if !is_active {
        return Ok(report.failed("expires", ends, ErrorCode::TokenExpired));
    }
    report.held("expires", ends);
    Ok(report)
}

/// One that is of no service, or not any more.
async fn unknown(app: &Services, report: Inspected, fingerprint: &str) -> Result<Inspected, ServiceError> {
    let made = trail(app, EventKind::ServiceTokenCreated).await?;
    let made = made.into_iter().find(|told| told.fingerprint.as_deref() == Some(fingerprint));
    let found = match made {
        None => "none of this server, or revoked before the audit trail begins".to_owned(),
        Some(made) => {
            let revoked = trail(app, EventKind::ServiceTokenRevoked).await?;
            let is_it = |told: &Told| told.service == made.service && told.seq > made.seq;
            let (service, by, at) = (&made.service, &made.by, made.at);
            match revoked.into_iter().rfind(is_it) {
                Some(end) => format!(
                    "of {service}, made by {by} at {at}, revoked by {} at {} (audit record {})",
                    end.by, end.at, end.seq
                ),
                None => format!("of {service}, made by {by} at {at}, and no more"),
            }
        }
    };
    Ok(report.failed("service", found, ErrorCode::InvalidToken))
}
