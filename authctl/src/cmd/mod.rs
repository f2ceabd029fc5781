//! The commands, a module for each noun.

mod audit;
mod backup;
mod events;
mod hook;
mod import;
mod keys;
mod mail;
mod metrics;
mod secrets;
mod service_token;
mod session;
mod status;
mod store;
mod throttle;
mod token;
mod user;

use crate::{
    cli::{Cli, Command, Global},
    client::Admin,
    error::{Error, Exit},
    io::{Io, Paint},
};

/// Everything a command works with.
pub(crate) struct Context<'a> {
    pub admin: Admin,
    pub global: Global,
    pub io: &'a mut Io,
}

impl Context<'_> {
    /// The daemon did this: a word to the person, if one looks.
    fn done(&mut self, text: &str) -> Result<(), Error> {
        if self.global.output == crate::cli::Format::Table {
            self.io.say_marked(Paint::Good, "✓", text)?;
        }
        Ok(())
    }
}

/// Runs a command. How it went is the exit code, or the error.
pub(crate) async fn run(cli: Cli, io: &mut Io) -> Result<Exit, Error> {
    // Mistakes that can be seen without the daemon come first.
    secrets::refuse_arguments(&cli.command)?;
    if let Command::Backup(command) = &cli.command
        && let Some(work) = backup::without_daemon(command)
    {
        return backup::by_authd(&cli.global, io, &work);
    }
    let (admin, notes) = Admin::find(&cli.global)?;
    for note in &notes {
        io.say_marked(Paint::Warn, "!", note)?;
    }
    let mut cx = Context { admin, global: cli.global, io };
    let outcome = match cli.command {
        Command::Status => status::run(&mut cx).await,
        Command::Metrics => metrics::run(&mut cx).await,
        Command::User(command) => user::run(&mut cx, command).await,
        Command::Session(command) => session::run(&mut cx, command).await,
        Command::Keys(command) => keys::run(&mut cx, command).await,
        Command::Throttle(command) => throttle::run(&mut cx, command).await,
        Command::Mail(command) => mail::run(&mut cx, command).await,
        Command::Events(command) => events::run(&mut cx, command).await,
        Command::Hook(command) => hook::run(&mut cx, command).await,
        Command::Token(command) => token::run(&mut cx, command).await,
        Command::Audit(command) => audit::run(&mut cx, command).await,
        Command::Backup(command) => backup::run(&mut cx, command).await,
        Command::Store(command) => store::run(&mut cx, command).await,
        Command::Import(command) => import::run(&mut cx, command).await,
    };
    for line in cx.admin.shown.take().unwrap_or_default() {
        cx.io.say(&line)?;
    }
    outcome
}
