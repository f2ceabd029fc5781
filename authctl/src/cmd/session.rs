//! `authctl session …`

use common::{
    SessionId,
    admin::{RevokeSessions, RevokeTarget, Revoked, SessionView},
};

use super::Context;
use crate::{
    cli::{Consent, Session},
    client::segment,
    error::{Error, Exit},
    output::{self, Shape, flag, many, state, text, time},
};

const SHAPE: Shape = Shape {
    plural: "sessions",
    id: "id",
    columns: &[
        text("id", "ID"),
        text("email", "USER"),
        state("state", "STATE"),
        time("createdAt", "SIGNED IN"),
        time("expiresAt", "ENDS"),
        text("ipAddress", "ADDRESS"),
        text("userAgent", "AGENT"),
    ],
    record: &[
        text("id", "id"),
        text("email", "user"),
        text("impersonatedBy", "acted as by"),
        text("userId", "user id"),
        state("state", "state"),
        text("methods", "signed in by"),
        flag("refreshable", "refresh tokens"),
        text("ipAddress", "address"),
        text("userAgent", "agent"),
        time("createdAt", "signed in"),
        time("updatedAt", "prolonged"),
        time("expiresAt", "ends"),
        time("absoluteExpiresAt", "at the latest"),
    ],
};

const REVOKED: Shape = Shape {
    plural: "revocations",
    id: "ended",
    columns: &[text("ended", "ENDED"), text("users", "USERS")],
    record: &[text("ended", "sessions ended"), text("users", "users")],
};

pub(super) async fn run(cx: &mut Context<'_>, command: Session) -> Result<Exit, Error> {
    match command {
        Session::List { user, page } => {
            let query: Vec<(&str, String)> = user.map(|user| ("user", user)).into_iter().collect();
            let limit = if page.all { usize::MAX } else { page.limit };
            let (items, more) = cx.admin.pages("/v1/sessions", &query, limit).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
            Ok(Exit::Done)
        }
        Session::Show { session } => {
            let found: SessionView = cx.admin.get(&format!("/v1/sessions/{}", segment(&session))).await?;
            output::record(cx.io, &cx.global, &SHAPE, &found)?;
            Ok(Exit::Done)
        }
        Session::Revoke { sessions, user, expect_count, consent } => {
            cx.admin.acts(&["session revoke", user.as_deref().unwrap_or_default(), &sessions.join(" ")]);
            let target = match user {
                Some(user) => RevokeTarget::User(user),
                None => RevokeTarget::Sessions(ids(&sessions)?),
            };
            revoke(cx, target, expect_count, &consent).await
        }
    }
}

fn ids(texts: &[String]) -> Result<Vec<SessionId>, Error> {
    let parse = |text: &String| text.parse().map_err(|e| Error::usage(format!("'{text}' is no session id: {e}")));
    texts.iter().map(parse).collect()
}

fn counted(revoked: &Revoked) -> String {
    format!("{} of {}", many(revoked.ended, "session"), many(revoked.users, "user"))
}

async fn revoke(
    cx: &mut Context<'_>,
    target: RevokeTarget,
    expect_count: Option<u64>,
    consent: &Consent,
) -> Result<Exit, Error> {
    const PATH: &str = "/v1/sessions/revoke";
    let preview = RevokeSessions { target: target.clone(), dry_run: true, expect_count: None };
    let would: Revoked = cx.admin.post(PATH, &preview).await?;
    if would.ended == 0 {
        return Err(Error::nothing("nothing to do: no such session is alive").fix("authctl session list"));
    }
    if consent.dry_run {
        cx.io.say(&format!("would end {}", counted(&would)))?;
        output::record(cx.io, &cx.global, &REVOKED, &would)?;
        return Ok(Exit::Done);
    }
    cx.io.confirm(consent.yes, "ending sessions", &format!("End {}?", counted(&would)))?;
    // What was confirmed is what happens: another number by now is refused.
    let expect_count = expect_count.or((!consent.yes).then_some(would.ended));
    let revoked: Revoked = cx.admin.post(PATH, &RevokeSessions { target, dry_run: false, expect_count }).await?;
    cx.done(&format!("ended {}", counted(&revoked)))?;
    if cx.global.output != crate::cli::Format::Table {
        output::record(cx.io, &cx.global, &REVOKED, &revoked)?;
    }
    Ok(Exit::Done)
}
