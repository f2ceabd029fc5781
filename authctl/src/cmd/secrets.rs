//! Where secrets come from: a prompt, standard input, a file. Never the command line, which every process of the machine can
//! read (CL-01).

use std::{fs::File, os::unix::fs::MetadataExt, path::Path};

use common::SecretString;

use super::Context;
use crate::{
    cli::{Command, PasswordSource, Token, TokenSource, User},
    error::Error,
    io::secret_from,
};

/// Refuses secrets that were given as arguments, before anything else happens.
pub(super) fn refuse_arguments(command: &Command) -> Result<(), Error> {
    let password = match command {
        Command::User(User::Create { password, .. } | User::SetPassword { password, .. }) => {
            password.password.is_some() || !password.words.is_empty()
        }
        _ => false,
    };
    if password {
        return Err(Error::usage("a password is not taken as an argument")
            .cause("every process of this machine can read command lines, and shells keep them")
            .fix("--password-stdin, --password-file FILE or --generate; and choose another password than that one"));
    }
    let token = match command {
        Command::Token(Token::Inspect { source } | Token::Verify { source }) => source.token.is_some(),
        _ => false,
    };
    if token {
        return Err(Error::usage("a token is not taken as an argument")
            .cause("every process of this machine can read command lines, and shells keep them")
            .fix("printf %s \"$TOKEN\" | authctl token inspect, or --file FILE"));
    }
    Ok(())
}

fn from_file(path: &Path) -> Result<SecretString, Error> {
    let mut file = File::open(path).map_err(|e| Error::usage(format!("{} cannot be read: {e}", path.display())))?;
    secret_from(&mut file)
}

/// A new password, and whether it was made here and has to be shown.
pub(super) fn new_password(cx: &mut Context<'_>, source: &PasswordSource) -> Result<(SecretString, bool), Error> {
    let password = if source.generate {
        return Ok((generated()?, true));
    } else if source.password_stdin {
        cx.io.secret_from_input()?
    } else if let Some(path) = &source.password_file {
        from_file(path)?
    } else {
        match &mut cx.io.prompt {
            Some(prompt) => prompt.secret("Password", true)?,
            None => {
                return Err(Error::usage("a password is needed, and there is no terminal to ask")
                    .fix("--password-stdin, --password-file FILE or --generate"));
            }
        }
    };
    if password.expose().is_empty() {
        return Err(Error::usage("the password is empty"));
    }
    Ok((password, false))
}

/// Twenty-four characters, 136 bits: letters and digits that are not mistaken for each other.
fn generated() -> Result<SecretString, Error> {
    const ALPHABET: &[u8; 51] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz234";
    let mut text = String::with_capacity(24);
    let mut buffer = zeroize::Zeroizing::new([0u8; 64]);
    while text.len() < 24 {
        getrandom::fill(buffer.as_mut()).map_err(|e| Error::failed(format!("no randomness: {e}")))?;
        // 255 is a multiple of 51: no letter is favoured.
        let fresh = buffer.iter().filter(|b| **b < 255).map(|b| char::from(ALPHABET[usize::from(*b % 51)]));
        text.extend(fresh.take(24 - text.len()));
    }
    Ok(SecretString::new(text))
}

/// The text of a file that is to be the master key: for its owner only already, as authd will ask at its next start.
pub(super) fn master_key(path: &Path) -> Result<SecretString, Error> {
    let shown = path.display();
    let meta = path.symlink_metadata().map_err(|e| {
        Error::usage(format!("{shown} cannot be read: {e}")).fix(format!("authd new-master-key {shown} makes one"))
    })?;
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        return Err(Error::usage(format!("{shown} is not a plain file for its owner only (mode 0600)"))
            .cause("authd would not start with it")
            .fix(format!("make another one with: authd new-master-key FILE; what was in {shown} may have been read")));
    }
    from_file(path)
}

/// A token to look at.
pub(super) fn token(cx: &mut Context<'_>, source: &TokenSource) -> Result<SecretString, Error> {
    let token = match (&source.file, &mut cx.io.prompt) {
        (Some(path), _) => from_file(path)?,
        (None, Some(prompt)) => prompt.secret("Token", false)?,
        (None, None) => cx.io.secret_from_input()?,
    };
    if token.expose().trim().is_empty() {
        return Err(Error::usage("no token was given").fix("printf %s \"$TOKEN\" | authctl token inspect"));
    }
    Ok(token)
}
