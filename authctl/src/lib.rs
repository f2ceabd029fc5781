//! authctl: authd's command line, over its admin socket.
//!
//! Everything outside comes in by argument ([`Io`], the socket's path), so that a test can run a command whole. Data goes to
//! standard output, words to standard error, and how it went is the exit code ([`Exit`]).

pub mod cli;
pub mod client;
pub mod cmd;
pub mod error;
pub mod io;
pub mod output;
pub mod times;

use std::{io::ErrorKind, process::ExitCode};

use clap::Parser;
use common::{
    ErrorCode,
    error::AdminErrorBody,
    text::{is_forbidden_in_names, printable},
};
use serde_json::json;

use self::io::Paint;
pub use self::{
    cli::Cli,
    client::Admin,
    error::{Error, Exit},
    io::Io,
};

/// Runs the program with the process's own arguments and streams.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap writes help and version to standard output with 0, mistakes to standard error with 2.
        Err(e) if !has_odd_words() => e.exit(),
        Err(e) => return refuse_words(&e),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut io = Io::of_process();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(run(cli, &mut io)),
        Err(e) => report(&Error::failed(format!("no runtime: {e}")), false, &mut io),
    };
    ExitCode::from(exit as u8)
}

/// Whether the command line has anything that a terminal could act upon.
fn has_odd_words() -> bool {
    std::env::args_os().any(|word| word.to_str().is_none_or(|word| word.chars().any(is_forbidden_in_names)))
}

/// clap's words about a mistake, which repeat what was typed.
fn refuse_words(error: &clap::Error) -> ExitCode {
    let text: String = error.to_string().lines().map(|line| format!("{}\n", printable(line))).collect();
    // A standard error that is gone leaves the exit code.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// Runs one command.
pub async fn run(cli: Cli, io: &mut Io) -> Exit {
    let as_json = cli.global.output.is_json();
    let outcome = cmd::run(cli, io).await.and_then(|exit| io.out.flush().map(|()| exit).map_err(Error::from));
    match outcome {
        Ok(exit) => exit,
        Err(error) => report(&error, as_json, io),
    }
}

/// An act of this name was done before: what its caller wanted is so.
fn done_before(body: &AdminErrorBody, as_json: bool, io: &mut Io) -> Exit {
    let what = body.cause.as_deref().unwrap_or_default();
    let written = match as_json {
        true => {
            let said = json!({ "alreadyDone": true, "cause": what }).to_string();
            writeln!(io.out, "{}", output::inert(&said)).and_then(|()| io.out.flush())
        }
        false => {
            let mark = io.paint_err(Paint::Good, "✓");
            writeln!(io.err, "{mark} done before: {}", printable(what))
        }
    };
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Exit::Failed,
        _ => Exit::Done,
    }
}

fn report(error: &Error, as_json: bool, io: &mut Io) -> Exit {
    let exit = error.exit();
    if let Error::Refused(body) = error
        && body.code == ErrorCode::AlreadyDone.as_str()
    {
        return done_before(body, as_json, io);
    }
    let text = if as_json { error.to_json() } else { error.to_text(io) };
    // A standard error that is gone leaves the exit code.
    let _ = io.err.write_all(text.as_bytes());
    exit
}
