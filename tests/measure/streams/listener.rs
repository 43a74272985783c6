//! One client of OFREP's event stream, as a page has it: it keeps what it was told last, and comes back after the wait that its
//! stream named at the beginning.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

/// Before a stream said otherwise.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A connection, and the head of its answer.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Heartbeats come every 15 seconds. Who hears nothing for longer than three of them looks for another connection.
const SILENCE: Duration = Duration::from_secs(50);
/// Clients of one address: each has ports of its own for them.
const OF_AN_ADDRESS: u32 = 2_500;

/// What is seen of all clients together.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A stream has begun.
    Open(u32),
    /// It has ended, or did not begin.
    Ended(u32),
    /// A connection is tried.
    Tried(Instant),
    /// It was told to ask again, because the environment's log has this number.
    Told(u32, u64, Instant),
}

pub(crate) struct Listener {
    pub(crate) number: u32,
    pub(crate) to: SocketAddr,
    /// With the position of the answers that it holds, and the leave.
    pub(crate) path: String,
    pub(crate) seen: UnboundedSender<Seen>,
    /// The environment's log number that it was told of last.
    pub(crate) stands: Arc<AtomicU64>,
}

impl Listener {
    /// Listens for ever.
    pub(crate) async fn listen(self) {
        let (mut last, mut wait) = (None, FIRST_WAIT);
        loop {
            let _ = self.seen.send(Seen::Tried(Instant::now()));
            let _ = self.once(&mut last, &mut wait).await;
            let _ = self.seen.send(Seen::Ended(self.number));
            sleep(wait).await;
        }
    }

    async fn once(&self, last: &mut Option<String>, wait: &mut Duration) -> anyhow::Result<()> {
        let mut stream = timeout(OPEN_WITHIN, self.connect()).await??;
        let held = last.as_ref().map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let ask = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n{held}\r\n",
            self.path, self.to
        );
        stream.write_all(ask.as_bytes()).await?;
        let mut lines = BufReader::with_capacity(512, stream);
        let mut line = String::new();
        self.line(&mut lines, &mut line).await?;
        if !line.starts_with("HTTP/1.1 200") {
            bail!("{line}");
        }
        while !line.trim().is_empty() {
            self.line(&mut lines, &mut line).await?;
        }
        let _ = self.seen.send(Seen::Open(self.number));
        // What frames the chunks is on lines of its own, and begins with no field of an event.
        loop {
            self.line(&mut lines, &mut line).await?;
            if let Some(id) = line.trim_end().strip_prefix("id: ") {
                *last = Some(id.to_owned());
            } else if let Some(millis) = line.trim_end().strip_prefix("retry: ") {
                *wait = Duration::from_millis(millis.parse()?);
            } else if line.starts_with("data: ") {
                let id = last.as_deref().context("an event without an id")?;
                let env = id.split('.').nth(2).context("no revision")?.parse()?;
                self.stands.store(env, Ordering::Relaxed);
                let _ = self.seen.send(Seen::Told(self.number, env, Instant::now()));
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let address = u8::try_from(self.number / OF_AN_ADDRESS)?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, address + 1), 0)))?;
        Ok(socket.connect(self.to).await?)
    }

    async fn line(
        &self,
        lines: &mut BufReader<TcpStream>,
        line: &mut String,
    ) -> anyhow::Result<()> {
        line.clear();
        match timeout(SILENCE, lines.read_line(line)).await?? {
            0 => bail!("it ended"),
            _ => Ok(()),
        }
    }
}
