//! `authctl throttle …`

use common::admin::{ClearThrottles, ThrottleTarget, ThrottlesCleared};

use serde_json::Value;

use super::Context;
use crate::{
    cli::{Format, Throttle},
    error::{Error, Exit},
    output::{self, Shape, text, time},
};

const SHAPE: Shape = Shape {
    plural: "throttles",
    id: "subject",
    columns: &[
        text("kind", "KIND"),
        text("subject", "SUBJECT"),
        text("failures", "FAILED"),
        time("until", "WAITS UNTIL"),
    ],
    record: &[],
};

const CLEARED: Shape =
    Shape { plural: "throttles", id: "cleared", columns: &[], record: &[text("cleared", "cleared")] };

/// People know each other by address: it takes the place of the id, which stands alone or before a slash.
fn by_address(item: &mut Value) {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    if let (Some(email), Some(subject)) = (text("email"), text("subject")) {
        let place = subject.split_once('/').map_or_else(String::new, |(_, place)| format!("/{place}"));
        item["subject"] = format!("{email}{place}").into();
    }
}

pub(super) async fn run(cx: &mut Context<'_>, command: Throttle) -> Result<Exit, Error> {
    match command {
        Throttle::List => {
            let (mut items, more) = cx.admin.pages("/v1/throttles", &[], usize::MAX).await?;
            if cx.global.output == Format::Table && cx.global.fields.is_empty() {
                items.iter_mut().for_each(by_address);
            }
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
        }
        Throttle::Clear { user, source, .. } => {
            let (target, whose) = match (user, source) {
                (Some(user), _) => (ThrottleTarget::User(user.clone()), user),
                (_, Some(source)) => (ThrottleTarget::Source(source.clone()), source),
                (None, None) => (ThrottleTarget::All, "everybody".to_owned()),
            };
            cx.admin.acts(&["throttle clear", &whose]);
            let done: ThrottlesCleared = cx.admin.post("/v1/throttles/clear", &ClearThrottles { target }).await?;
            if done.cleared == 0 {
                return Err(Error::nothing(format!("nothing to do: no failure of {whose} is counted")));
            }
            cx.done(&format!("{whose} may try again"))?;
            if cx.global.output != Format::Table {
                output::record(cx.io, &cx.global, &CLEARED, &done)?;
            }
        }
    }
    Ok(Exit::Done)
}
