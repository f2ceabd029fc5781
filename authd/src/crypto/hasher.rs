//! Password hashing on threads of its own: as many as the machine has cores, each with one block of memory that it uses
//! again and again, behind a short queue in which networks take turns. A thread without work wipes its memory, and gives it back
//! after a while.

mod memory;

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, PasswordHash as Phc, Salt},
};
use async_trait::async_trait;
use common::{SecretString, text::normalised_password};
use rustix::process::setpriority_process;
use tokio::{sync::oneshot, time::Instant};
use tracing::{error, warn};

use self::memory::Memory;
use super::{
    fair::{self, Fair},
    imported,
    strength::Strength,
};
use crate::{
    digest::is_same_secret,
    domain::{
        HashScheme, PasswordHash,
        stored_hash::{MAX_ITERATIONS, MAX_MEMORY_KIB, StoredHash},
    },
    metrics::{Counter, Histogram, counter::SECONDS},
    ports::{Entropy, HasherError, HasherLoad, HasherWork, PasswordHasher, Verdict},
};

/// How far the threads step back behind those that answer requests (`nice`): a full queue of sign-ins must not slow down
/// the check of a session.
/// Measured: with a gap of ten the 99th percentile stays at that without sign-ins; with none it is a slice of the scheduler.
const NICENESS: i32 = 10;

/// How long a thread without work keeps its memory: mapping it anew costs the next sign-in some milliseconds.
const KEPT: Duration = Duration::from_secs(30);

/// The cost of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Passes (`t`).
    pub iterations: u32,
    /// Lanes (`p`).
    pub parallelism: u32,
}

impl Cost {
    /// OWASP's floor: 19 MiB, two passes, one lane.
    pub const FLOOR: Self = Self { memory_kib: 19_456, iterations: 2, parallelism: 1 };

    /// So cheap that tests can sign in thousands of times. A release build does not have it, or refuses it.
    #[cfg(any(feature = "test-util", debug_assertions))]
    pub fn insecure_for_tests() -> Self {
        #[allow(clippy::assertions_on_constants)] // a constant of the build, and that is the point
        {
            assert!(cfg!(debug_assertions), "insecure hashing is not for release builds");
        }
        Self { memory_kib: 16, iterations: 1, parallelism: 1 }
    }

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(32))
    }
}

type Reply<T> = oneshot::Sender<Result<T, HasherError>>;

enum Work {
    Hash { password: SecretString, reply: Reply<PasswordHash> },
    Verify { password: SecretString, stored: Option<PasswordHash>, reply: Reply<Verdict> },
    Guesses { password: SecretString, own_words: Vec<String>, reply: Reply<u64> },
}

impl Work {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
            Self::Guesses { reply, .. } => reply.is_closed(),
        }
    }

    /// It made room for somebody else's.
    fn refuse(self) {
        // Who does not wait for the answer does not need it.
        let _ = match self {
            Self::Hash { reply, .. } => reply.send(Err(HasherError::Busy)).is_ok(),
            Self::Verify { reply, .. } => reply.send(Err(HasherError::Busy)).is_ok(),
            Self::Guesses { reply, .. } => reply.send(Err(HasherError::Busy)).is_ok(),
        };
    }
}

#[derive(Default)]
struct Queue {
    jobs: Fair<Work>,
    stopped: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    capacity: usize,
    threads: usize,
    /// Jobs that were begun.
    begun: Counter,
    refused: Counter,
    /// How long they took: as many as came to an end.
    seconds: Histogram,
}

impl Shared {
    fn new(threads: usize, capacity: usize) -> Self {
        let (queue, wake, begun, refused) = Default::default();
        Self { queue, wake, capacity, threads, begun, refused, seconds: Histogram::new(SECONDS) }
    }
}

/// The threads and their queue. Dropping it ends them.
pub struct HasherPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a pool is made of.
pub struct HasherConfig {
    /// The present cost.
    pub cost: Cost,
    /// How many threads; at least one.
    pub threads: usize,
    /// How many jobs may wait; at least one.
    pub queue: usize,
    /// The check of new passwords.
    pub strength: Strength,
}

impl HasherPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The cost is out of argon2's range, or the system refuses a thread.
    pub fn start(config: &HasherConfig, entropy: &Arc<dyn Entropy>) -> std::io::Result<Self> {
        let params = config.cost.params().map_err(|e| std::io::Error::other(format!("password.argon2: {e}")))?;
        let threads = config.threads.max(1);
        let shared = Arc::new(Shared::new(threads, config.queue.max(1)));
        let threads = (0..threads)
            .map(|n| {
                let mut worker = Worker {
                    shared: shared.clone(),
                    entropy: entropy.clone(),
                    cost: config.cost,
                    params: params.clone(),
                    strength: config.strength.clone(),
                    memory: Memory::default(),
                    kept: KEPT,
                };
                std::thread::Builder::new().name(format!("hasher-{n}")).spawn(move || worker.run())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, threads })
    }

    fn submit<T>(
        &self,
        client: Option<IpAddr>,
        make: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<oneshot::Receiver<Result<T, HasherError>>, HasherError> {
        let (reply, answer) = oneshot::channel();
        let path = fair::path(client);
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.stopped {
            return Err(HasherError::Stopped);
        }
        if queue.jobs.len() >= self.shared.capacity {
            // Those who left make room for those who wait.
            queue.jobs.retain(&|job: &Work| !job.is_abandoned());
            if queue.jobs.len() >= self.shared.capacity {
                self.shared.refused.one();
                queue.jobs.make_room(&path).ok_or(HasherError::Busy)?.refuse();
            }
        }
        queue.jobs.push(&path, make(reply));
        drop(queue);
        self.shared.wake.notify_one();
        Ok(answer)
    }
}

impl Drop for HasherPool {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a hashing thread had panicked");
            }
        }
    }
}

#[async_trait]
impl PasswordHasher for HasherPool {
    async fn hash(&self, password: SecretString, client: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
        self.submit(client, |reply| Work::Hash { password, reply })?.await.map_err(|_| HasherError::Failed)?
    }

    async fn verify(
        &self,
        password: SecretString,
        stored: Option<PasswordHash>,
        client: Option<IpAddr>,
    ) -> Result<Verdict, HasherError> {
        self.submit(client, |reply| Work::Verify { password, stored, reply })?.await.map_err(|_| HasherError::Failed)?
    }

    async fn guesses(
        &self,
        password: SecretString,
        own_words: Vec<String>,
        client: Option<IpAddr>,
    ) -> Result<u64, HasherError> {
        self.submit(client, |reply| Work::Guesses { password, own_words, reply })?
            .await
            .map_err(|_| HasherError::Failed)?
    }

    fn load(&self) -> HasherLoad {
        let waiting = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).jobs.len();
        HasherLoad { threads: self.shared.threads, waiting, capacity: self.shared.capacity }
    }

    fn work(&self) -> HasherWork {
        let shared = &self.shared;
        // Ended before begun: what ends in between is not below zero.
        let seconds = shared.seconds.read();
        let busy = shared.begun.get().saturating_sub(seconds.counts.iter().sum());
        HasherWork { busy, refused: shared.refused.get(), seconds }
    }
}

struct Worker {
    shared: Arc<Shared>,
    entropy: Arc<dyn Entropy>,
    cost: Cost,
    params: Params,
    strength: Strength,
    memory: Memory,
    kept: Duration,
}

/// What came of waiting for work.
enum Taken {
    Job(Work),
    Stopped,
    Nothing,
}

impl Worker {
    fn run(&mut self) {
        // The threads that answer requests come first. Without the right to step back it is only less polite.
        let _ = setpriority_process(None, NICENESS);
        while let Some(job) = self.next() {
            self.shared.begun.one();
            let began = Instant::now();
            // A panic is one job's end and not the thread's: its caller gets an error, because the reply is dropped.
            if catch_unwind(AssertUnwindSafe(|| self.perform(job))).is_err() {
                error!("a hashing thread panicked; it goes on with the next job");
            }
            self.shared.seconds.observe(began.elapsed().as_secs_f64());
        }
    }

    fn perform(&mut self, job: Work) {
        // Nobody waits for the result if the receiver is gone: sending it fails, and that is well.
        match job {
            Work::Hash { password, reply } => {
                let _ = reply.send(self.hash(password.expose()));
            }
            Work::Verify { password, stored, reply } => {
                let _ = reply.send(self.verify(password.expose(), stored.as_ref()));
            }
            Work::Guesses { password, own_words, reply } => {
                let _ = reply.send(Ok(self.strength.guesses(password.expose(), &own_words)));
            }
        }
    }

    fn next(&mut self) -> Option<Work> {
        let mut taken = self.take(Some(Duration::ZERO));
        if matches!(taken, Taken::Nothing) {
            taken = self.rest();
        }
        if matches!(taken, Taken::Nothing) {
            taken = self.take(None);
        }
        match taken {
            Taken::Job(job) => Some(job),
            Taken::Stopped | Taken::Nothing => None,
        }
    }

    /// Waits for work a while. What was hashed last is not left lying about; and if none comes, neither is the memory.
    fn rest(&mut self) -> Taken {
        self.memory.wipe();
        let taken = self.take(Some(self.kept));
        if matches!(taken, Taken::Nothing) {
            self.memory.release();
        }
        taken
    }

    /// The next job, for which it waits so long, or for ever.
    fn take(&self, patience: Option<Duration>) -> Taken {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_over = patience.is_some_and(|patience| patience.is_zero());
        loop {
            if queue.stopped {
                return Taken::Stopped;
            }
            match queue.jobs.pop() {
                Some(job) if job.is_abandoned() => {}
                Some(job) => return Taken::Job(job),
                None if is_over => return Taken::Nothing,
                None => {
                    queue = match patience {
                        None => self.shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                        Some(patience) => {
                            let woken = self.shared.wake.wait_timeout(queue, patience);
                            let (queue, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
                            is_over = timeout.timed_out();
                            queue
                        }
                    }
                }
            }
        }
    }

    /// Whether the output is there: argon2 refuses some sizes.
    ///
    /// # Errors
    /// `Busy` if there is no memory, which is no answer to whether a password is right.
    fn run_argon2(
        &mut self,
        with: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<bool, HasherError> {
        let blocks = self.memory.blocks(with.params().block_count()).map_err(|e| {
            warn!("there is no memory for a hash: {e}");
            HasherError::Busy
        })?;
        let done = with.hash_password_into_with_memory(password, salt, out, blocks).is_ok();
        // A hash from elsewhere may have needed more: give that back.
        if with.params().block_count() > self.params.block_count() {
            self.memory.release();
        }
        Ok(done)
    }

    /// As authd hashes at present.
    fn present(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    #[allow(clippy::expect_used)]
    fn hash(&mut self, password: &str) -> Result<PasswordHash, HasherError> {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let mut out = [0; 32];
        let params = self.params.clone();
        let password = normalised_password(password);
        let done = self.run_argon2(&self.present(), password.as_bytes(), &salt, &mut out)?;
        assert!(done, "argon2 refuses only sizes, and these were checked at start");
        let phc = Phc {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().expect("three numbers fit a PHC string"),
            salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
            hash: Some(Output::new(&out).expect("32 bytes are an output")),
        };
        Ok(PasswordHash::new(phc.to_string()))
    }

    fn verify(&mut self, password: &str, stored: Option<&PasswordHash>) -> Result<Verdict, HasherError> {
        let normalised = normalised_password(password);
        let parsed = stored.and_then(|hash| Some((hash.as_str(), StoredHash::parse(hash.as_str())?)));
        match parsed {
            Some((text, StoredHash::Argon2 { scheme, .. })) => self.verify_argon2(password, &normalised, scheme, text),
            Some((text, parsed)) => {
                Ok(Verdict { matches: imported::matches(password, &normalised, text, &parsed), outdated: true })
            }
            None => {
                self.run_argon2(&self.present(), normalised.as_bytes(), &[0; 16], &mut [0; 32])?;
                Ok(Verdict { matches: false, outdated: false })
            }
        }
    }

    fn verify_argon2(
        &mut self,
        password: &str,
        normalised: &str,
        scheme: HashScheme,
        stored: &str,
    ) -> Result<Verdict, HasherError> {
        let no = Ok(Verdict { matches: false, outdated: false });
        let Ok(phc) = Phc::new(stored) else { return no };
        let (Some(salt), Some(expected), Ok(params)) = (&phc.salt, &phc.hash, Params::try_from(&phc)) else {
            return no;
        };
        let Ok(version) = phc.version.map_or(Ok(Version::V0x13), Version::try_from) else { return no };
        if params.m_cost() > MAX_MEMORY_KIB.max(self.cost.memory_kib)
            || params.t_cost() > MAX_ITERATIONS.max(self.cost.iterations)
        {
            return no;
        }
        let algorithm = match scheme {
            HashScheme::Argon2i => Algorithm::Argon2i,
            HashScheme::Argon2d => Algorithm::Argon2d,
            _ => Algorithm::Argon2id,
        };
        let as_now = version == Version::V0x13
            && (scheme, params.m_cost(), params.t_cost(), params.p_cost())
                == (HashScheme::Argon2id, self.cost.memory_kib, self.cost.iterations, self.cost.parallelism);
        let with = Argon2::new(algorithm, version, params);
        let mut out = vec![0; expected.len()];
        let mut is_it = |password: &str| {
            let done = self.run_argon2(&with, password.as_bytes(), salt, &mut out)?;
            Ok(done && is_same_secret(&out, expected.as_bytes()))
        };
        // What others hashed was not normalised; with the present parameters it is one of ours.
        let matches = is_it(normalised)? || (!as_now && password != normalised && is_it(password)?);
        Ok(Verdict { matches, outdated: !as_now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    const CHEAP: Cost = Cost { memory_kib: 16, iterations: 1, parallelism: 1 };

    fn pool(cost: Cost) -> HasherPool {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        HasherPool::start(&HasherConfig { cost, threads: 2, queue: 4, strength: Strength::default() }, &entropy)
            .unwrap()
    }

    #[tokio::test]
    async fn au_01_hashes_are_argon2id_phc_strings_with_the_owasp_floor() {
        let pool = pool(Cost::FLOOR);
        let hash = pool.hash("correct horse battery".into(), None).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_ne!(hash, pool.hash("correct horse battery".into(), None).await.unwrap(), "a salt of its own");
        let verdict = pool.verify("correct horse battery".into(), Some(hash), None).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: false });
    }

    #[tokio::test]
    async fn au_04_the_password_is_compared_as_received_but_for_nfkc() {
        let pool = pool(CHEAP);
        let hash = pool.hash("pässwörd-ﬁ".into(), None).await.unwrap();
        for (password, matches) in [
            ("pässwörd-ﬁ", true),
            ("pa\u{308}sswo\u{308}rd-fi", true),
            ("Pässwörd-ﬁ", false),
            ("pässwörd-ﬁ ", false),
            ("pässwörd-ﬁ\0", false),
            ("", false),
        ] {
            let verdict = pool.verify(password.into(), Some(hash.clone()), None).await.unwrap();
            assert_eq!(verdict.matches, matches, "{password:?}");
        }
    }

    #[tokio::test]
    async fn au_02_nothing_is_cut_off() {
        let pool = pool(CHEAP);
        let long = "x".repeat(72);
        let hash = pool.hash(format!("{long}a").into(), None).await.unwrap();
        assert!(!pool.verify(format!("{long}b").into(), Some(hash), None).await.unwrap().matches);
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_matches_and_is_outdated() {
        let old = pool(CHEAP).hash("correct horse battery".into(), None).await.unwrap();
        let dearer = pool(Cost { iterations: 2, ..CHEAP });
        let verdict = dearer.verify("correct horse battery".into(), Some(old), None).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: true });
    }

    /// Made with the reference implementation (argon2-cffi) for this test.
    #[tokio::test]
    async fn all_kinds_of_argon2_match_and_only_our_own_is_not_outdated() {
        let pool = pool(Cost { memory_kib: 64, iterations: 2, parallelism: 2 });
        for (stored, outdated) in [
            ("$argon2i$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$0Jw1lUyi3lVO1sgdKiQbinTfNEJQIs3T", true),
            ("$argon2d$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$SOzSqTGCCma9B0bsxJqBtLTABOaFyFWt", true),
            ("$argon2id$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$zYDv2qX52SSn/a4ZMJGKw+pmKoBySiXq", false),
        ] {
            let stored = PasswordHash::new(stored);
            let verdict = pool.verify("correct horse battery".into(), Some(stored.clone()), None).await.unwrap();
            assert_eq!(verdict, Verdict { matches: true, outdated }, "{stored:?}");
            assert!(!pool.verify("another password".into(), Some(stored), None).await.unwrap().matches);
        }
    }

    #[tokio::test]
    async fn nobody_and_nonsense_match_nothing() {
        let pool = pool(CHEAP);
        for stored in [
            None,
            Some(PasswordHash::new("")),
            Some(PasswordHash::new("$argon2id$")),
            Some(PasswordHash::new("$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo")),
        ] {
            assert!(!pool.verify("x".into(), stored, None).await.unwrap().matches);
        }
    }

    #[test]
    fn au_07_a_comparison_with_nothing_is_an_argon2_of_the_present_cost() {
        for stored in [None, Some(PasswordHash::new("")), Some(PasswordHash::new("no hash at all"))] {
            let params = Cost { memory_kib: 64, ..CHEAP }.params().unwrap();
            let shared = Shared::new(1, 1);
            let mut worker = worker(shared, params.clone());
            worker.verify("x", stored.as_ref()).unwrap();
            let blocks = worker.memory.blocks(params.block_count()).unwrap();
            assert!(blocks.iter().all(|block| block.as_ref().iter().any(|word| *word != 0)), "{stored:?}");
        }
    }

    fn worker(shared: Shared, params: Params) -> Worker {
        Worker {
            shared: Arc::new(shared),
            entropy: Arc::new(SystemEntropy::default()),
            cost: CHEAP,
            params,
            strength: Strength::default(),
            memory: Memory::default(),
            kept: Duration::ZERO,
        }
    }

    #[test]
    fn a_thread_without_work_has_no_memory_and_what_costs_more_than_usual_is_given_back_at_once() {
        let shared = Shared::new(1, 1);
        let mut worker = worker(shared, CHEAP.params().unwrap());
        let dear = Argon2::new(Algorithm::Argon2id, Version::V0x13, Cost::FLOOR.params().unwrap());
        assert_eq!(worker.run_argon2(&dear, b"x", &[0; 16], &mut [0; 32]), Ok(true));
        assert_eq!(worker.memory.size(), 0);
        worker.hash("x").unwrap();
        assert!(worker.memory.size() > 0);

        // With work it keeps its memory, without it it does not.
        let (reply, _answer) = oneshot::channel();
        let job = Work::Guesses { password: "x".into(), own_words: vec![], reply };
        worker.shared.queue.lock().unwrap().jobs.push(&fair::path(None), job);
        assert!(matches!(worker.rest(), Taken::Job(_)));
        assert!(worker.memory.size() > 0);
        assert!(matches!(worker.rest(), Taken::Nothing));
        assert_eq!(worker.memory.size(), 0);
    }

    /// Randomness that fails every other time.
    #[derive(Default)]
    struct Failing(std::sync::atomic::AtomicBool);

    impl Entropy for Failing {
        fn fill(&self, out: &mut [u8]) {
            assert!(self.0.fetch_xor(true, std::sync::atomic::Ordering::Relaxed), "no randomness");
            out.fill(7);
        }
    }

    #[tokio::test]
    async fn lg_05_a_panic_is_the_end_of_one_job_only() {
        let entropy: Arc<dyn Entropy> = Arc::new(Failing::default());
        let config = HasherConfig { cost: CHEAP, threads: 1, queue: 4, strength: Strength::default() };
        let pool = HasherPool::start(&config, &entropy).unwrap();
        for _ in 0..3 {
            assert_eq!(pool.hash("x".into(), None).await.unwrap_err(), HasherError::Failed);
            assert!(pool.hash("x".into(), None).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_abandoned_jobs_make_room() {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let config = HasherConfig { cost: Cost::FLOOR, threads: 1, queue: 2, strength: Strength::default() };
        let pool = HasherPool::start(&config, &entropy).unwrap();
        let mut waiting: Vec<_> = vec![];
        let refused = loop {
            match pool.submit(None, |reply| Work::Hash { password: "x".into(), reply }) {
                Ok(answer) => waiting.push(answer),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, HasherError::Busy);
        waiting.clear();
        assert!(pool.hash("y".into(), None).await.is_ok());
    }

    #[test]
    fn th_06_a_full_queue_of_one_household_takes_in_the_others_and_answers_busy_to_its_own() {
        // No thread takes anything: what waits stays.
        let pool = HasherPool { shared: Arc::new(Shared::new(0, 8)), threads: vec![] };
        let submit = |client: &str| {
            pool.submit(crate::domain::address::parse(client), |reply| Work::Hash { password: "x".into(), reply })
        };
        let mut household: Vec<_> = (0..8).map(|n| submit(&format!("2001:db8:0:{n:x}::1")).unwrap()).collect();
        assert_eq!(submit("2001:db8:0:9::1").err(), Some(HasherError::Busy));
        let mut guests: Vec<_> = (0..4).map(|n| submit(&format!("198.51.100.{n}")).unwrap()).collect();
        let answers: Vec<_> = household.iter_mut().map(oneshot::Receiver::try_recv).collect();
        let pushed_out = answers.iter().filter(|answer| **answer == Ok(Err(HasherError::Busy))).count();
        assert_eq!((pushed_out, pool.load().waiting), (4, 8));
        assert_eq!(pool.work().refused, 5, "and counted, the one of its own included");
        assert!(guests.iter_mut().all(|job| job.try_recv().is_err()), "they wait, and were not refused");
        household.clear();
        assert!(submit("2001:db8:0:9::1").is_ok(), "those who left make room");
        assert_eq!(pool.load().waiting, 5);
    }
}
