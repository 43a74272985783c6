//! All flags of one asker, kept and kept fresh.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use flagforge::Status;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::answer::Held;
use crate::asking::Asking;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::http::{Bulk, Told};
use crate::stream::{Place, Stream};

/// How often all flags are asked for where no stream says when, and beside one, in case that it says nothing.
pub const POLL_EVERY: Duration = Duration::from_secs(30);
/// The first wait after a failure; each further one doubles it, up to [`POLL_EVERY`].
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// All flags of one asker. Cheap to clone; the last of the clones ends the following.
#[derive(Debug, Clone)]
pub struct Followed {
    kept: Arc<Kept>,
    news: watch::Receiver<u64>,
    _task: Arc<Task>,
}

#[derive(Debug)]
struct Kept {
    held: ArcSwap<Held>,
    trouble: ArcSwap<Option<Failure>>,
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Followed {
    pub(crate) async fn begin(asking: Asking) -> Result<Self, Failure> {
        let (sender, mut news) = watch::channel(0);
        let (held, trouble) = (ArcSwap::from_pointee(Held::nothing()), ArcSwap::from_pointee(None));
        let kept = Arc::new(Kept { held, trouble });
        let mut following = Following {
            body: asking.body(),
            asking,
            kept: Arc::clone(&kept),
            news: sender,
            told: None,
            failures: 0,
        };
        let due = match following.refresh().await {
            Err(failure) if failure.is_final() => return Err(failure),
            outcome => following.next(outcome.err().as_ref()),
        };
        // The first answer is no change.
        news.mark_unchanged();
        let task = Arc::new(Task(tokio::spawn(following.run(due)).abort_handle()));
        Ok(Self { kept, news, _task: task })
    }

    /// The flags as they are now, without asking anybody.
    pub fn flags(&self) -> Flags {
        Flags::of(self.kept.held.load_full())
    }

    /// What the answers are made of: `Ready` what was confirmed when the relay was last asked, `LastKnownGood` what could not be, and
    /// `Defaults` nothing yet.
    pub fn status(&self) -> Status {
        match (self.kept.held.load().at, self.trouble()) {
            (None, _) => Status::Defaults,
            (Some(_), None) => Status::Ready,
            (Some(_), Some(_)) => Status::LastKnownGood,
        }
    }

    /// The time since the flags were last confirmed; `None` where there was no answer yet.
    pub fn age(&self) -> Option<Duration> {
        self.kept.held.load().at.map(|at| at.elapsed())
    }

    /// What went wrong when the relay was last asked; `None` when nothing did.
    pub fn trouble(&self) -> Option<Failure> {
        Option::clone(&self.kept.trouble.load())
    }

    /// Waits until there are other answers than when this was last called, or when the following began.
    pub async fn changed(&mut self) {
        // The task that sends lives as long as this does; were it gone, nothing would change any more.
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Following {
    asking: Asking,
    body: Vec<u8>,
    kept: Arc<Kept>,
    news: watch::Sender<u64>,
    /// What an event said that has not been fetched yet.
    told: Option<Told>,
    failures: u32,
}

/// What has happened.
enum Event {
    Due,
    Told(Option<Told>),
    Opened(Box<Stream>),
    Shut(Failure),
}

impl Following {
    async fn run(mut self, mut due: Instant) {
        let mut stream: Option<Box<Stream>> = None;
        let mut place = Place::default();
        let mut open_at = Instant::now();
        loop {
            let event = {
                let open = self.open(stream.is_none(), open_at, &place);
                tokio::select! {
                    () = sleep_until(due) => Event::Due,
                    told = told(&mut stream) => Event::Told(told),
                    opened = open => opened.map_or_else(Event::Shut, |it| Event::Opened(Box::new(it))),
                }
            };
            match event {
                Event::Due => due = self.refreshed().await,
                Event::Told(Some(told)) => {
                    self.told = Some(told);
                    due = self.refreshed().await;
                }
                Event::Told(None) => {
                    place = stream.take().map_or_else(Place::default, |stream| stream.place());
                    open_at = Instant::now() + place.back_after();
                }
                Event::Opened(opened) => stream = Some(opened),
                Event::Shut(failure) => {
                    debug!(%failure, "the stream cannot be opened");
                    // An address that lets nobody in any more is renewed with the answer.
                    if matches!(failure, Failure::Unauthenticated) {
                        due = self.refreshed().await;
                    }
                    open_at = Instant::now() + place.back_after().max(self.left_alone());
                }
            }
        }
    }

    /// Opens the stream, where there is one to be opened.
    async fn open(&self, wanted: bool, at: Instant, place: &Place) -> Result<Stream, Failure> {
        let http = &self.asking.tenant.remote.http;
        let address = {
            let held = self.kept.held.load();
            held.streams.iter().find_map(|stream| stream.address(&http.base))
        };
        match address.filter(|_| wanted) {
            Some(address) => {
                sleep_until(at).await;
                Stream::open(http, address, place).await
            }
            None => std::future::pending().await,
        }
    }

    async fn refreshed(&mut self) -> Instant {
        let outcome = self.refresh().await;
        self.next(outcome.err().as_ref())
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        let outcome = self.fetch().await;
        self.kept.trouble.store(Arc::new(outcome.as_ref().err().cloned()));
        outcome
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let tenant = &self.asking.tenant;
        let held = self.kept.held.load_full();
        let (etag, told) = (held.etag.as_deref(), self.told.as_ref());
        match tenant.remote.http.all(tenant, self.body.clone(), etag, told).await? {
            Bulk::Same => self.kept.held.store(Arc::new(held.confirmed())),
            Bulk::Other { body, etag } => {
                self.kept.held.store(Arc::new(Held::read(&body, etag)?));
                self.news.send_modify(|news| *news += 1);
            }
        }
        self.told = None;
        Ok(())
    }

    /// When to ask again.
    fn next(&mut self, failure: Option<&Failure>) -> Instant {
        if failure.is_none() {
            self.failures = 0;
            return Instant::now() + POLL_EVERY;
        }
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        // Between a half and the whole of it, so that clients that a relay left do not come back as one.
        let wait = doubled.min(POLL_EVERY);
        let lot = u32::try_from(flagforge::dice() % 500).unwrap_or(0);
        let wait = wait / 2 + wait * lot / 1_000;
        Instant::now() + wait.max(self.left_alone())
    }

    fn left_alone(&self) -> Duration {
        self.asking.tenant.remote.http.wait().unwrap_or_default()
    }
}

async fn told(stream: &mut Option<Box<Stream>>) -> Option<Told> {
    match stream {
        Some(stream) => stream.told().await,
        None => std::future::pending().await,
    }
}
