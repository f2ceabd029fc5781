//! A disk that knows what was synced: of each file that is there after the power went, and of what was written since, any
//! blocks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use super::{super::disk::Syncs, Acknowledged, Deed};

/// Where the power may go anywhere inside.
const BLOCK: usize = 512;
/// The directories of a store, below the one of the data, which comes first.
const DIRECTORIES: [&str; 5] = ["", "log", "sled", "sled.next", "sled.aside"];

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
    /// What was synced of a file.
    files: HashMap<Id, Vec<u8>>,
    /// The names that were synced of a directory.
    names: HashMap<Id, BTreeMap<String, Id>>,
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

/// Which file or directory it is: an inode, and when it was made, because its number is given to the next one when it is gone.
type Id = (u64, Option<SystemTime>);

fn id(meta: &Metadata) -> Id {
    (meta.ino(), meta.created().ok())
}

fn id_of(path: &Path) -> Option<Id> {
    path.metadata().ok().as_ref().map(id)
}

fn list(directory: &Path) -> BTreeMap<String, Id> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap());
    // sled's own files come and go while one looks.
    entries.filter_map(|e| Some((e.file_name().into_string().unwrap(), id(&e.metadata().ok()?)))).collect()
}

/// Of a name that was not synced since it changed, either state may be on disk.
fn either<'a>(then: Option<&'a Id>, now: Option<&'a Id>, dice: &mut Dice) -> Option<&'a Id> {
    if then == now || dice.percent(50) { now } else { then }
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
            for (name, id) in &names {
                if let Ok(bytes) = fs::read(directory.join(name)) {
                    state.files.insert(*id, bytes);
                }
            }
            id_of(&directory).map(|id| state.names.insert(id, names));
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
        let names_of = |state: &State, path: &Path| id_of(path).and_then(|id| state.names.get(&id).cloned());
        let (certain, now) = (names_of(state, &self.root).unwrap_or_default(), list(&self.root));
        let mut directories = vec![(DIRECTORIES[0], id_of(&self.root).unwrap())];
        for name in &DIRECTORIES[1..] {
            let found = either(certain.get(*name), now.get(*name), &mut state.dice);
            directories.extend(found.map(|id| (*name, *id)));
        }
        for (directory, of_directory) in directories {
            // By the name that it has now, or nowhere if it is gone.
            let mut paths = DIRECTORIES.iter().map(|name| self.root.join(name));
            let path = paths.find(|path| id_of(path) == Some(of_directory)).unwrap_or_default();
            let certain = state.names.get(&of_directory).cloned().unwrap_or_default();
            let now = list(&path);
            let names = certain.keys().chain(now.keys()).collect::<BTreeSet<_>>();
            for name in names.into_iter().filter(|name| !DIRECTORIES.contains(&name.as_str())) {
                let now = now.get(name);
                let Some(id) = either(certain.get(name), now, &mut state.dice) else { continue };
                let current = match now == Some(id) {
                    true => fs::read(path.join(name)).ok(),
                    false => None,
                };
                // A directory has no bytes of its own, and files that sled makes beside `db` it syncs itself.
                let bytes = match (state.files.get(id), current) {
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
        // `conf` is synced after sled was opened and after one was exchanged for another, the marker in between.
        let is_turn = is_of("snapshot") || is_of("unfinished") || path.ends_with("conf");
        if is_turn && matches!(state.plan, Plan::Cut(_)) && state.dice.percent(25) {
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
        state.files.insert(id(&file.metadata()?), whole(file));
        Ok(())
    }

    fn boot(&self) -> io::Result<String> {
        Ok(self.root.display().to_string())
    }

    fn names(&self, directory: &Path) -> io::Result<()> {
        let id = id(&directory.metadata()?);
        self.state.lock().unwrap().names.insert(id, list(directory));
        Ok(())
    }
}
