//! `authctl events …`

use common::admin::{EventView, EventsReplayed, Page, ReplayEvents};
use serde_json::Value;

use super::Context;
use crate::{
    cli::{Events, EventsCommand, Format, Tail},
    error::{Error, Exit},
    output::{self, Shape, state, text, time},
};

const SHAPE: Shape = Shape {
    plural: "events; they are written down only with events.url or events.stream",
    id: "id",
    columns: &[
        text("seq", "SEQ"),
        time("at", "AT"),
        text("type", "EVENT"),
        text("user", "USER"),
        text("session", "SESSION"),
        state("state", "STATE"),
        text("attempts", "TRIED"),
        text("error", "ERROR"),
    ],
    record: &[],
};

const REPLAYED: Shape =
    Shape { plural: "events", id: "replayed", columns: &[], record: &[text("replayed", "told once more")] };

pub(super) async fn run(cx: &mut Context<'_>, command: EventsCommand) -> Result<Exit, Error> {
    match command.verb.unwrap_or(Events::Tail(command.tail)) {
        Events::List { state, page } => {
            let limit = if page.all { usize::MAX } else { page.limit };
            let state = state.map(|state| ("state", state));
            let asked: Vec<(&str, String)> = state.into_iter().collect();
            let (items, more) = cx.admin.pages("/v1/events", &asked, limit).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
        }
        Events::Tail(Tail { lines, after, follow }) => tail(cx, lines, after, follow).await?,
        Events::Replay { seq, from, dead } => {
            let named = match (seq, from) {
                (Some(seq), _) => seq.to_string(),
                (None, Some(from)) => format!("from {from}"),
                (None, None) => "dead".to_owned(),
            };
            cx.admin.acts(&["events replay", &named]);
            let done: EventsReplayed =
                cx.admin.post("/v1/events/replay", &ReplayEvents { dead, one: seq, from }).await?;
            if done.replayed == 0 {
                return Err(Error::nothing("nothing to do: there is no such event"));
            }
            cx.done(&format!("{} told once more", done.replayed))?;
            if cx.global.output != Format::Table {
                output::record(cx.io, &cx.global, &REPLAYED, &done)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The last events, and then whatever comes, a line of JSON each: what follows a stream is a program, or reads like one.
async fn tail(cx: &mut Context<'_>, lines: u64, after: Option<u64>, follow: bool) -> Result<(), Error> {
    let path = match after {
        Some(after) => format!("/v1/events?cursor={after}"),
        None => format!("/v1/events?latest={lines}"),
    };
    let mut page: Page<Value> = cx.admin.get(&path).await?;
    if !follow && after.is_none() {
        return output::list(cx.io, &cx.global, &SHAPE, page.items, false);
    }
    let mut last = after.unwrap_or_default();
    // Shorter than what the command waits for an answer.
    let wait = (cx.global.timeout / 2).clamp(1, 20);
    loop {
        for item in page.items {
            let event: EventView = serde_json::from_value(item.clone()).map_err(|e| Error::failed(e.to_string()))?;
            last = event.seq;
            output::line(cx.io, &item)?;
        }
        if !follow && page.next.is_none() {
            return Ok(());
        }
        let wait = if page.next.is_some() { 0 } else { wait };
        page = cx.admin.get(&format!("/v1/events?cursor={last}&wait={wait}")).await?;
    }
}
