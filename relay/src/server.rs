//! Taking connections, and what each may cost: axum's own server bounds neither how many there are, nor how long one takes
//! to say what it wants, nor how long one takes to read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

/// Connections at a time: all streams, all answers that are held back, and those for everything else. Of 10 KB and up.
pub(crate) const MAX_CONNECTIONS: usize = 26_000;
/// Those for everything else.
pub(crate) const OTHER_CONNECTIONS: usize = 2_000;
/// What a connection beyond the limit is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// How long telling it may take.
const TELL_WITHIN: Duration = Duration::from_secs(1);
/// After a failure to take a connection, mostly for want of file descriptors: some are given back in the meantime.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Files for everything but connections: origins, the cache, the log, who asks how it goes.
const OTHER_FILES: u64 = 256;

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time.
    pub max_connections: usize,
    /// From a connection's beginning, or an answer's end, until the whole head of the next request; and the handshake of TLS.
    pub head_within: Duration,
    /// Bytes of a head.
    pub max_head_bytes: usize,
    /// A write of which the other side reads nothing for so long ends the connection.
    pub write_within: Duration,
    /// A peer that acknowledges nothing for so long is gone. A stream is written to every 15 s, so that it is noticed there, too.
    pub gone_after: Duration,
    /// Requests at a time over one connection of HTTP/2.
    pub max_requests_at_once: u32,
    /// How long requests that are under way may take to end once the server is told to: less than the 30 s after which
    /// orchestrators kill.
    pub drain_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            head_within: Duration::from_secs(10),
            max_head_bytes: 32 * 1024,
            write_within: Duration::from_secs(30),
            gone_after: Duration::from_secs(60),
            max_requests_at_once: 200,
            drain_within: Duration::from_secs(25),
        }
    }
}

impl Limits {
    /// No more connections than the process may have files, of which it takes all that it may.
    fn within_files(self) -> Self {
        let files = rlimit::increase_nofile_limit(u64::MAX);
        let files =
            files.inspect_err(|error| warn!(%error, "how many files there may be is unknown"));
        let room = files.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if room < self.max_connections {
            let (connections, wanted) = (room, self.max_connections);
            warn!(
                connections,
                wanted, "raise the limit of open files (nofile) for more connections"
            );
        }
        Self { max_connections: self.max_connections.min(room), ..self }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new());
        http1.header_read_timeout(self.head_within).max_buf_size(self.max_head_bytes);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new());
        http2.keep_alive_interval(self.head_within).keep_alive_timeout(self.head_within);
        http2.max_header_list_size(u32::try_from(self.max_head_bytes).unwrap_or(u32::MAX));
        http2.max_concurrent_streams(self.max_requests_at_once);
        builder
    }
}

/// What a connection is wrapped in, once it is taken.
#[derive(Debug, Clone, Default)]
pub struct Lock {
    #[cfg(feature = "https")]
    tls: Option<Arc<crate::tls::Tls>>,
}

impl Lock {
    /// With TLS.
    #[cfg(feature = "https")]
    pub const fn of(tls: Arc<crate::tls::Tls>) -> Self {
        Self { tls: Some(tls) }
    }

    /// Whether there is TLS.
    pub const fn is_shut(&self) -> bool {
        #[cfg(feature = "https")]
        return self.tls.is_some();
        #[cfg(not(feature = "https"))]
        return false;
    }
}

/// Serves until `until` ends, and then what is under way, for [`Limits::drain_within`] at most. A default [`Lock`] is none.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    lock: Lock,
    until: impl Future<Output = ()> + Send,
) {
    let limits = limits.within_files();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let (builder, graceful) = (Arc::new(limits.builder()), GracefulShutdown::new());
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection was not taken");
                sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tokio::spawn(turn_away(stream, lock.is_shut()));
            continue;
        };
        let connection = Connection {
            builder: Arc::clone(&builder),
            app: app.clone(),
            limits,
            watcher: graceful.watcher(),
        };
        let lock = lock.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.open(stream, lock).await {
                debug!(error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.drain_within, graceful.shutdown()).await.is_err() {
        warn!("some requests did not end in time");
    }
}

/// Says that all places are taken, where that can be understood.
async fn turn_away(mut stream: TcpStream, locked: bool) {
    if !locked {
        let _ = timeout(TELL_WITHIN, stream.write_all(FULL)).await;
        let _ = timeout(TELL_WITHIN, stream.shutdown()).await;
    }
}

struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    app: Router,
    limits: Limits,
    watcher: Watcher,
}

impl Connection {
    async fn open(self, stream: TcpStream, lock: Lock) -> Result<(), String> {
        let told = |error: io::Error| error.to_string();
        stream.set_nodelay(true).map_err(told)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(self.limits.gone_after)).map_err(told)?;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write_within));
        let stream = Box::pin(stream);
        #[cfg(feature = "https")]
        if let Some(tls) = lock.tls {
            let open = timeout(self.limits.head_within, tls.accept(stream)).await;
            return self.serve(open.map_err(|late| late.to_string())?.map_err(told)?).await;
        }
        #[cfg(not(feature = "https"))]
        let _ = lock;
        self.serve(stream).await
    }

    async fn serve<S>(self, stream: S) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.app);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        self.watcher.watch(connection.into_owned()).await.map_err(|error| error.to_string())
    }
}
