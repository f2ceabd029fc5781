//! The terminal as an argument: streams, prompts, colours, width.

use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};

use anstyle::{AnsiColor, Style};
use common::{SecretString, text::printable};

use crate::Error;

/// Questions to a person at a terminal.
pub trait Prompt {
    /// A line of text.
    ///
    /// # Errors
    /// The terminal is gone.
    fn line(&mut self, label: &str, may_be_empty: bool) -> Result<String, Error>;
    /// A secret, not shown while it is typed; twice if it is to be `confirmed`.
    ///
    /// # Errors
    /// The terminal is gone.
    fn secret(&mut self, label: &str, confirmed: bool) -> Result<SecretString, Error>;
    /// Yes or no; no unless said otherwise.
    ///
    /// # Errors
    /// The terminal is gone.
    fn confirm(&mut self, question: &str) -> Result<bool, Error>;
}

/// Everything a command reads and writes.
pub struct Io {
    /// Secrets and tokens that are piped in.
    pub input: Box<dyn Read>,
    /// Data.
    pub out: Box<dyn Write>,
    /// Words.
    pub err: Box<dyn Write>,
    /// Present only with a person at a terminal.
    pub prompt: Option<Box<dyn Prompt>>,
    /// The width of the terminal that `out` is, in columns; `None` if it is none.
    pub width: Option<usize>,
    /// Whether `out` may be coloured.
    pub colour: bool,
    /// Whether `err` may be coloured.
    pub err_colour: bool,
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Faint,
}

impl Paint {
    fn style(self) -> Style {
        match self {
            Self::Strong => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

fn painted(on: bool, paint: Paint, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let style = paint.style();
    format!("{style}{text}{style:#}")
}

impl Io {
    /// The streams of this process. Colours only on a terminal, and not where `NO_COLOR` is set.
    pub fn of_process() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let colour = |is_terminal: bool| is_terminal && !plain && !dumb;
        let person = stdin().is_terminal() && stderr().is_terminal();
        let columns = usize::from(dialoguer::console::Term::stdout().size().1).max(40);
        Self {
            input: Box::new(stdin()),
            out: Box::new(stdout()),
            err: Box::new(stderr()),
            prompt: person.then(|| Box::new(Terminal) as Box<dyn Prompt>),
            width: stdout().is_terminal().then_some(columns),
            colour: colour(stdout().is_terminal()),
            err_colour: colour(stderr().is_terminal()),
        }
    }

    /// Coloured for standard output.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.colour, paint, text)
    }

    /// Coloured for standard error.
    pub fn paint_err(&self, paint: Paint, text: &str) -> String {
        painted(self.err_colour, paint, text)
    }

    /// Words. Whatever a terminal could act upon becomes visible.
    ///
    /// # Errors
    /// Standard error is gone.
    pub fn say(&mut self, text: &str) -> Result<(), Error> {
        Ok(writeln!(self.err, "{}", printable(text))?)
    }

    /// Words beside the point, or of a state. The colour comes last, so that it is none of what becomes visible.
    ///
    /// # Errors
    /// Standard error is gone.
    pub fn remark(&mut self, paint: Paint, text: &str) -> Result<(), Error> {
        let text = self.paint_err(paint, &printable(text));
        Ok(writeln!(self.err, "{text}")?)
    }

    /// Words after a mark.
    ///
    /// # Errors
    /// Standard error is gone.
    pub fn say_marked(&mut self, paint: Paint, mark: &str, text: &str) -> Result<(), Error> {
        let mark = self.paint_err(paint, mark);
        Ok(writeln!(self.err, "{mark} {}", printable(text))?)
    }

    /// Asks whether to go on; with `yes` nobody is asked.
    ///
    /// # Errors
    /// Declined, or nobody is there to ask.
    pub fn confirm(&mut self, yes: bool, what: &str, question: &str) -> Result<(), Error> {
        if yes {
            return Ok(());
        }
        match &mut self.prompt {
            None => Err(Error::needs_yes(what)),
            Some(prompt) => match prompt.confirm(&printable(question))? {
                true => Ok(()),
                false => Err(Error::Declined),
            },
        }
    }

    /// All of standard input as a secret, without the line's end.
    ///
    /// # Errors
    /// It is not text, or longer than 64 KiB.
    pub fn secret_from_input(&mut self) -> Result<SecretString, Error> {
        secret_from(&mut self.input)
    }
}

/// The longest secret that is read, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// All of a stream as a secret, without the line's end.
///
/// # Errors
/// It is not text, or longer than 64 KiB.
pub fn secret_from(reader: &mut dyn Read) -> Result<SecretString, Error> {
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(1024));
    reader.take(MAX_SECRET + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(Error::usage("the secret is longer than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("the secret is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
    Ok(text.into())
}

/// dialoguer on the real terminal.
struct Terminal;

fn gone(error: dialoguer::Error) -> Error {
    let dialoguer::Error::IO(error) = error;
    match error.kind() {
        std::io::ErrorKind::Interrupted => Error::Declined,
        _ => Error::failed(format!("the terminal cannot be read: {error}")),
    }
}

impl Prompt for Terminal {
    fn line(&mut self, label: &str, may_be_empty: bool) -> Result<String, Error> {
        dialoguer::Input::<String>::new().with_prompt(label).allow_empty(may_be_empty).interact_text().map_err(gone)
    }

    fn secret(&mut self, label: &str, confirmed: bool) -> Result<SecretString, Error> {
        let ask = dialoguer::Password::new().with_prompt(label);
        let ask = if confirmed { ask.with_confirmation(format!("{label} again"), "They differ.") } else { ask };
        ask.interact().map(SecretString::new).map_err(gone)
    }

    fn confirm(&mut self, question: &str) -> Result<bool, Error> {
        dialoguer::Confirm::new().with_prompt(question).default(false).interact().map_err(gone)
    }
}
