//! Firebase's password hashes: AES-256-CTR of the project's key, under a key that scrypt derives from the password. Taking the
//! project's key off leaves what authd needs to compare, so that key is neither sent nor stored.

use std::path::Path;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD_NO_PAD},
};
use zeroize::Zeroizing;

use crate::error::Error;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash parameters of a project.
#[derive(Clone)]
pub(super) struct Project {
    signer_key: Zeroizing<Vec<u8>>,
    salt_separator: Vec<u8>,
    rounds: u32,
    mem_cost: u32,
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('-', "+").replace('_', "/")).ok()
}

impl Project {
    /// Reads them as the console shows them: `hash_config { algorithm: SCRYPT, base64_signer_key: …, … }`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|e| Error::usage(format!("{} cannot be read: {e}", path.display())))?;
        Self::parse(&text).ok_or_else(|| {
            Error::usage(format!("{} has no hash parameters of Firebase", path.display()))
                .fix("copy them whole from the console: Authentication, Users, ⋮, Password hash parameters")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            let rest = rest.trim_start_matches(['"', '\'', ':', '=', ' ']);
            rest.split(['"', '\'', ',', '\n', '\r', ' ', '}']).next().filter(|value| !value.is_empty())
        };
        Some(Self {
            signer_key: decode(value("base64_signer_key")?)?.into(),
            salt_separator: decode(value("base64_salt_separator")?)?,
            rounds: value("rounds")?.parse().ok()?,
            mem_cost: value("mem_cost")?.parse().ok()?,
        })
    }

    /// A user's hash as authd stores it.
    pub(super) fn stored(&self, hash: &str, salt: &str) -> Option<String> {
        let (hash, mut salt) = (decode(hash)?, decode(salt)?);
        salt.extend_from_slice(&self.salt_separator);
        if hash.is_empty() || hash.len() != self.signer_key.len() {
            return None;
        }
        let keystream: Vec<u8> = hash.iter().zip(self.signer_key.iter()).map(|(a, b)| a ^ b).collect();
        let (salt, keystream) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(keystream));
        Some(format!("$firebase-scrypt$ln={},r={}${salt}${keystream}", self.mem_cost, self.rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Firebase's own published example.
    const CONFIG: &str = "hash_config {
  algorithm: SCRYPT,
  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}";
    const HASH: &str = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";

    #[test]
    fn the_projects_key_is_taken_off() {
        let project = Project::parse(CONFIG).unwrap();
        let stored = "$firebase-scrypt$ln=14,r=8$42xEC+ixf3L2lwc$GjH2+Jz+dglLj5NuFkZHgBvZnv8Z8VZE5sdIgEAbIgeXy+ZfSpJLu1A++pZcpx0OhX41mDwvu2Olmp+PnfLfyQ";
        assert_eq!(project.stored(HASH, "42xEC+ixf3L2lw==").as_deref(), Some(stored));
        let web_safe = HASH.replace('/', "_").replace('+', "-");
        assert_eq!(project.stored(&web_safe, "42xEC-ixf3L2lw").as_deref(), Some(stored));
        for (hash, salt) in [("", "42xEC+ixf3L2lw=="), ("aGFzaA==", "42xEC+ixf3L2lw=="), (HASH, "%")] {
            assert_eq!(project.stored(hash, salt), None);
        }
    }

    #[test]
    fn parameters_are_read_as_the_console_shows_them_and_as_json() {
        let json = CONFIG.replace("hash_config ", "").replace(": ", "\": \"").replace(",\n", "\",\n");
        assert_eq!(Project::parse(&json).unwrap().rounds, 8);
        for odd in ["", "hash_config {}", &CONFIG.replace("14", "many"), &CONFIG.replace("rounds", "turns")] {
            assert!(Project::parse(odd).is_none(), "{odd}");
        }
    }
}
