//! `authctl store …`

use common::{admin::SnapshotMade, text::bytes};
use serde_json::json;

use super::Context;
use crate::{
    cli::{Format, Store},
    error::{Error, Exit},
    output::{self, Shape, text, time},
};

const SHAPE: Shape = Shape {
    plural: "snapshots",
    id: "sequence",
    columns: &[text("sequence", "SEQUENCE"), text("bytes", "BYTES"), time("madeAt", "MADE")],
    record: &[],
};

pub(super) async fn run(cx: &mut Context<'_>, command: Store) -> Result<Exit, Error> {
    let Store::Snapshot = command;
    let done: SnapshotMade = cx.admin.post("/v1/store/snapshot", &json!({})).await?;
    let snapshot = done.store.snapshot.clone();
    match (cx.global.output, snapshot) {
        (Format::Table, Some(snapshot)) => {
            let (sequence, size) = (snapshot.sequence, bytes(snapshot.bytes));
            match done.made {
                true => {
                    let took = format!("{}.{:03} s", done.took_ms / 1000, done.took_ms % 1000);
                    cx.done(&format!("snapshot of sequence {sequence}, {size}, read back, in {took}"))?;
                }
                false => cx.io.say(&format!("nothing is new since the snapshot of sequence {sequence}"))?,
            }
        }
        (Format::Table, None) => cx.io.say("there is nothing to make a snapshot of")?,
        (Format::Csv | Format::Id, snapshot) => {
            let items = snapshot.into_iter().map(|snapshot| serde_json::to_value(snapshot).unwrap_or_default());
            output::list(cx.io, &cx.global, &SHAPE, items.collect(), false)?;
        }
        (Format::Json | Format::Jsonl, _) => output::record(cx.io, &cx.global, &SHAPE, &done)?,
    }
    Ok(Exit::Done)
}
