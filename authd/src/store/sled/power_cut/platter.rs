//! A disk that knows what was synced: of each file that is there after the power went, and of what was written since, any
//! blocks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{super::disk::Syncs, Acknowledged, Deed};

/// Where the power may go anywhere inside.
const BLOCK: usize = 512;
/// The directories of a store, below the one of the data.
pub(super) const DIRECTORIES: [&str; 3] = ["", "log", "sled"];

pub(in super::super) struct Dice(pub u64);

impl Dice {
    pub(in super::super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in super::super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    /// So many times in a hundred.
    fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }
}

/// What is to go wrong at a sync of the commit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// The power goes at the sync of this number.
    Cut(usize),
    /// That sync fails, and the power goes later.
    Fail(usize),
    /// The power goes some time after so many answers.
    Later(usize),
}

/// A disk that knows what was synced.
pub(super) struct Platter {
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// What was synced of a file, by its inode.
    files: HashMap<u64, Vec<u8>>,
    /// The names of a directory that were synced.
    names: HashMap<PathBuf, BTreeMap<String, u64>>,
    plan: Plan,
    syncs: usize,
    dice: Dice,
    acknowledged: Acknowledged,
    /// What there was when the power went.
    image: Option<Image>,
}

pub(super) struct Image {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub acknowledged: Vec<Deed>,
}

fn list(directory: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap());
    // sled's own files come and go while one looks.
    entries.filter_map(|e| Some((e.file_name().into_string().unwrap(), e.metadata().ok()?.ino()))).collect()
}

fn whole(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// What was synced, and some blocks of what was written since.
fn mixed(synced: &[u8], now: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (least, most) = (synced.len().min(now.len()), synced.len().max(now.len()));
    let len = [synced.len(), now.len(), least + dice.below(most - least + 1)][dice.below(3)];
    let share = [0, 10, 50, 90, 100][dice.below(5)];
    let mut out = synced.to_vec();
    out.resize(len, 0);
    for at in (0..len.min(now.len())).step_by(BLOCK) {
        let end = (at + BLOCK).min(len).min(now.len());
        if out[at..end] != now[at..end] && dice.percent(share) {
            out[at..end].copy_from_slice(&now[at..end]);
        }
    }
    out
}

impl Platter {
    /// With what is there; all of that is on disk.
    pub(super) fn new(root: &Path, plan: Plan, dice: Dice, acknowledged: Acknowledged) -> Arc<Self> {
        let mut state =
            State { files: HashMap::new(), names: HashMap::new(), plan, syncs: 0, dice, acknowledged, image: None };
        for directory in DIRECTORIES {
            let directory = root.join(directory);
            let names = list(&directory);
            for (name, inode) in &names {
                if let Ok(bytes) = fs::read(directory.join(name)) {
                    state.files.insert(*inode, bytes);
                }
            }
            state.names.insert(directory, names);
        }
        Arc::new(Self { root: root.into(), state: Mutex::new(state) })
    }

    /// The power goes, now.
    fn cut(&self, state: &mut State) {
        if state.image.is_some() {
            return;
        }
        // First what was acknowledged, then what is there: it must be there.
        let acknowledged = state.acknowledged.lock().unwrap().clone();
        let mut files = BTreeMap::new();
        for directory in DIRECTORIES {
            let path = self.root.join(directory);
            let certain = state.names.get(&path).cloned().unwrap_or_default();
            let now = list(&path);
            for name in certain.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
                let (then, now) = (certain.get(name), now.get(name));
                let Some(inode) = (if then == now || state.dice.percent(50) { now } else { then }) else { continue };
                let current = match now == Some(inode) {
                    true => fs::read(path.join(name)).ok(),
                    false => None,
                };
                // A directory has no bytes of its own, and files that sled makes beside `db` it syncs itself.
                let bytes = match (state.files.get(inode), current) {
                    (Some(synced), Some(current)) => mixed(synced, &current, &mut state.dice),
                    (Some(synced), None) => synced.clone(),
                    (None, Some(current)) => current,
                    (None, None) => continue,
                };
                files.insert(Path::new(directory).join(name), bytes);
            }
        }
        state.image = Some(Image { files, acknowledged });
    }

    pub(super) fn image(&self) -> Image {
        let mut state = self.state.lock().unwrap();
        self.cut(&mut state);
        state.image.take().unwrap()
    }
}

impl Syncs for Platter {
    fn data(&self, file: &File, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let is_of = |extension| path.extension().is_some_and(|e| e == extension);
        if is_of("snapshot") && matches!(state.plan, Plan::Cut(_)) && state.dice.percent(25) {
            self.cut(&mut state);
        }
        if is_of("log") {
            state.syncs += 1;
            if state.plan == Plan::Cut(state.syncs) {
                self.cut(&mut state);
            }
            if state.plan == Plan::Fail(state.syncs) {
                return Err(io::Error::other("a fault on purpose"));
            }
        }
        state.files.insert(file.metadata()?.ino(), whole(file));
        Ok(())
    }

    fn boot(&self) -> io::Result<String> {
        Ok(self.root.display().to_string())
    }

    fn names(&self, directory: &Path) -> io::Result<()> {
        self.state.lock().unwrap().names.insert(directory.into(), list(directory));
        Ok(())
    }
}
