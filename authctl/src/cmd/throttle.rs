//! `authctl throttle …`

use common::admin::{ClearThrottles, ThrottleTarget, ThrottlesCleared};

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

pub(super) async fn run(cx: &mut Context<'_>, command: Throttle) -> Result<Exit, Error> {
    match command {
        Throttle::List => {
            let (items, more) = cx.admin.pages("/v1/throttles", &[], usize::MAX).await?;
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
