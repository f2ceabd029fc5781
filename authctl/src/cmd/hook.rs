//! `authctl hook …`

use common::admin::{HookTested, TestHook};

use super::Context;
use crate::{
    cli::{Format, Hook},
    error::{Error, Exit},
    output::{self, Shape, state, text, time},
};

const SHAPE: Shape = Shape {
    plural: "hooks are configured: hooks.sign_up_before, sign_in_before, token_claims, password_before",
    id: "hook",
    columns: &[
        text("hook", "HOOK"),
        state("state", "STATE"),
        text("onFailure", "ON FAILURE"),
        text("target", "CALLED AT"),
        time("restsUntil", "RESTS UNTIL"),
        time("failedAt", "FAILED"),
        text("error", "ERROR"),
    ],
    record: &[],
};

const TESTED: Shape = Shape {
    plural: "hooks",
    id: "hook",
    columns: &[],
    record: &[text("hook", "hook"), text("target", "called at"), text("allows", "allows"), text("said", "said")],
};

pub(super) async fn run(cx: &mut Context<'_>, command: Hook) -> Result<Exit, Error> {
    match command {
        Hook::List => {
            let (items, more) = cx.admin.pages("/v1/hooks", &[], usize::MAX).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
        }
        Hook::Test { hook } => {
            cx.admin.acts(&["hook test", &hook]);
            let tested: HookTested = cx.admin.post("/v1/hooks/test", &TestHook { hook }).await?;
            let verdict = match (tested.allows, &tested.said) {
                (true, _) => "and allows what was made up for it".to_owned(),
                (false, None) => "and refuses what was made up for it".to_owned(),
                (false, Some(said)) => format!("and refuses what was made up for it: {said}"),
            };
            cx.done(&format!("{} answers at {}, {verdict}", tested.hook, tested.target))?;
            if cx.global.output != Format::Table {
                output::record(cx.io, &cx.global, &TESTED, &tested)?;
            }
        }
    }
    Ok(Exit::Done)
}
