//! `authd store …`: a stopped store is read from end to end, or made anew from its commit log.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use common::text::bytes;

use crate::{
    app::store_options,
    config::Config,
    crypto::entropy::SystemEntropy,
    datadir::DataDir,
    exit::{Exit, Failure},
    opening::{log_key, master_key, unopenable, unusable},
    ports::{Entropy, Mac},
    store::{
        Upkeep as _,
        sled::{Formats, Opening, SledOptions, Verified, Wrong, put_aside_damaged},
    },
};

/// A store that nobody else has open, and the key of its commit log.
struct Stopped {
    data: DataDir,
    opening: Opening,
    key: Arc<dyn Mac>,
}

impl Stopped {
    fn open(config: &Config, options: SledOptions) -> Result<Self, Failure> {
        Self::open_claimed(config, options, claim(config)?)
    }

    fn open_claimed(config: &Config, options: SledOptions, data: DataDir) -> Result<Self, Failure> {
        let opening = Opening::open(&data.store(), store_options(config, options)).map_err(unopenable)?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let (master, _) = master_key(config, &opening, &*entropy)?;
        let key = log_key(&opening, &master, &entropy)?;
        Ok(Self { data, opening, key })
    }
}

/// The data directory of a store that is there, and that nobody else has open.
fn claim(config: &Config) -> Result<DataDir, Failure> {
    let path = &config.places.data_dir;
    if !path.join("log").is_dir() {
        let message = format!("there is no store in {}", path.display());
        return Err(Failure::new(Exit::Io, message).fix("name it: --config or --data-dir"));
    }
    DataDir::claim(path)
}

/// Reads everything. Answers what there is, for people.
///
/// # Errors
/// `Io` if anything is not as it should be; the message has what was found.
pub fn verify(config: &Config, options: SledOptions) -> Result<String, Failure> {
    let stopped = Stopped::open(config, options)?;
    let Verified { whole, sled } = stopped.opening.verify(&stopped.key).map_err(unopenable)?;
    let mut text = String::new();
    match whole.snapshot {
        Some((sequence, size)) => {
            let _ = writeln!(text, "snapshot    whole: sequence {sequence}, {}", bytes(size));
        }
        None => text += "snapshot    none yet\n",
    }
    let (segments, size) = whole.segments;
    let many = if segments == 1 { "1 segment".into() } else { format!("{segments} segments") };
    let _ = writeln!(text, "commit log  whole: up to sequence {}, {many}, {}", whole.sequence, bytes(size));
    if whole.torn > 0 {
        let _ = writeln!(text, "            and {} of a record that never was whole", bytes(whole.torn));
    }
    match sled {
        Ok(applied) => {
            let _ = writeln!(text, "sled        as the commit log says: {} entries, sequence {applied}", whole.entries);
            Ok(text)
        }
        Err(Wrong { what, is_ahead }) => {
            let message = format!("{text}sled        wrong: {what}");
            let fix = if is_ahead { "restore a backup; nothing was changed" } else { "authd store rebuild" };
            Err(Failure::new(Exit::Io, message).fix(fix))
        }
    }
}

/// Makes sled anew from snapshot and commit log. What was there of it is kept beside it.
///
/// # Errors
/// The snapshot or the commit log is damaged; then nothing was changed.
pub fn rebuild(config: &Config, options: SledOptions) -> Result<String, Failure> {
    let Stopped { data, mut opening, key } = Stopped::open(config, options)?;
    require_complete(&opening)?;
    opening.make_anew("as asked: authd store rebuild");
    let opened = opening.replay(key).map_err(unopenable)?;
    opened.close().map_err(unopenable)?;
    let aside = data.store().with_extension("aside");
    Ok(format!(
        "the store was made anew from its commit log; what there was is in {}, until the next snapshot\n",
        aside.display()
    ))
}

/// Makes a snapshot, sled anew from it, and removes what was there before: the store takes as little space as it can.
///
/// # Errors
/// The snapshot or the commit log is damaged; then nothing was changed.
pub fn compact(config: &Config, options: SledOptions) -> Result<String, Failure> {
    let before = size(&config.places.data_dir);
    let Stopped { data, mut opening, key } = Stopped::open(config, options)?;
    require_complete(&opening)?;
    opening.make_anew("as asked: authd store compact");
    let opened = opening.replay(key.clone()).map_err(unopenable)?;
    // Nothing is written, so the key of the audit trail is not needed.
    let store = opened.start(key).map_err(unopenable)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::System, format!("no threads: {e}")))?;
    runtime.block_on(store.snapshot()).map_err(|e| unusable(&e))?;
    drop(store);
    let aside = data.store().with_extension("aside");
    crate::store::sled::remove_aside(&data.store())
        .map_err(|e| Failure::new(Exit::Io, format!("{} cannot be removed: {e}", aside.display())))?;
    let after = size(&config.places.data_dir);
    Ok(format!("the store took {} and takes {}\n", bytes(before), bytes(after)))
}

/// Makes a snapshot of sled as it is, in the place of one that is damaged; only where that was asked for in so many words.
///
/// # Errors
/// sled is damaged too, or the commit log behind the snapshot; then nothing was changed.
pub fn snapshot(config: &Config, options: SledOptions, unverified: bool) -> Result<String, Failure> {
    if !unverified {
        let message = "there is nothing to compare sled with but the snapshot: whoever could write to the data directory may \
                       have changed both";
        return Err(Failure::new(Exit::Configuration, message)
            .fix("restore a backup; or, to take sled as it is: authd store snapshot --unverified"));
    }
    let log = config.places.data_dir.join("log");
    // Nothing is moved while a daemon is at work.
    let data = claim(config)?;
    let aside = put_aside_damaged(&log).map_err(unopenable)?;
    let made = Stopped::open_claimed(config, options, data).and_then(|Stopped { data: _data, opening, key }| {
        let opened = opening.replay(key).map_err(unopenable)?;
        opened.save().map_err(unopenable)
    });
    aside.settle(made.is_ok()).map_err(|e| Failure::new(Exit::Io, format!("{}: {e}", log.display())))?;
    let (sequence, size) = made?;
    Ok(format!("a snapshot of sled was made, unverified: sequence {sequence}, {}\n", bytes(size)))
}

/// Gives the store the format that is written now, or says what that would mean.
///
/// # Errors
/// The store is of a newer authd, something of it is damaged, or there is no room to keep it as it was. Then nothing was changed.
pub fn migrate(config: &Config, options: SledOptions, only_check: bool) -> Result<String, Failure> {
    let Stopped { data: _data, opening, key } = Stopped::open(config, options)?;
    let Formats { found, written, bytes: room } = opening.formats().map_err(unopenable)?;
    if found == written {
        return Ok(format!("the store has format {found}, which this authd writes: there is nothing to do\n"));
    }
    if only_check {
        opening.verify(&key).map_err(unopenable)?;
        return Ok(format!(
            "the store has format {found}, and this authd writes {written}; all of it can be read\n\
             authd store migrate, or the next start, gives it that format; it is kept as it is, which takes {}\n",
            bytes(room)
        ));
    }
    opening.replay(key).map_err(unopenable)?.close().map_err(unopenable)?;
    Ok(format!(
        "the store had format {found} and has {written}; as it was it is in before-format-{written}, beside it\n"
    ))
}

fn require_complete(opening: &Opening) -> Result<(), Failure> {
    match opening.is_complete() {
        true => Ok(()),
        false => {
            Err(Failure::new(Exit::Io, "the commit log does not have everything, and there is no snapshot that does")
                .fix("restore a backup; nothing was changed"))
        }
    }
}

/// What a directory takes on disk, in bytes; what cannot be looked at counts nothing.
fn size(directory: &PathBuf) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let size_of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size_of).sum()
}
