//! Mails into a folder, one file each, for development: nothing leaves the machine, and the link is in the log.

use std::{
    fs::{DirBuilder, OpenOptions, rename},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use lettre::message::Mailbox;
use tracing::info;

use super::compose;
use crate::ports::{Letter, Mailer, MailerError};

/// See the module's text.
pub struct Outbox {
    folder: PathBuf,
    from: Mailbox,
}

impl Outbox {
    /// In this folder, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: PathBuf, from: Mailbox) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, from })
    }
}

/// Nobody sees half a mail, and nobody else sees any.
fn write_whole(path: &Path, message: &[u8]) -> io::Result<()> {
    let unborn = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
    file.write_all(message)?;
    rename(unborn, path)
}

#[async_trait]
impl Mailer for Outbox {
    async fn send(&self, letter: &Letter) -> Result<(), MailerError> {
        let message = compose(letter, &self.from)?.formatted();
        let path = self.folder.join(format!("{}-{}.eml", letter.at.as_millis(), letter.id));
        let written = path.clone();
        let done = tokio::task::spawn_blocking(move || write_whole(&written, &message)).await;
        let failed = |e: &dyn std::fmt::Display| MailerError::Later(format!("{}: {e}", path.display()));
        done.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        let link = letter.link.as_ref().map(common::SecretString::expose);
        info!(to = %letter.to, subject = letter.subject, link, file = %path.display(), "a mail is in the outbox");
        Ok(())
    }

    fn describe(&self) -> String {
        format!("outbox {}", self.folder.display())
    }
}
