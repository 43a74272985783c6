//! A bad network between clients and a relay: connections that stop for a while, and ones that break, by seed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How long a connection stands still.
const STILL: std::ops::Range<u64> = 500..20_000;
/// After how long something happens to it.
const GOOD_FOR: std::ops::Range<u64> = 200..10_000;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    bad: Arc<AtomicBool>,
    pub(crate) stalled: Arc<AtomicU64>,
    pub(crate) broken: Arc<AtomicU64>,
}

impl Proxy {
    /// Begins, and behaves badly until it is told to be good.
    pub(crate) async fn begin(to: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            bad: Arc::new(AtomicBool::new(true)),
            stalled: Arc::default(),
            broken: Arc::default(),
        };
        let (bad, stalled, broken) =
            (proxy.bad.clone(), proxy.stalled.clone(), proxy.broken.clone());
        tokio::spawn(async move {
            let mut dice = Dice(seed);
            while let Ok((stream, _)) = listener.accept().await {
                let weather = Weather {
                    dice: Dice(dice.draw(0..u64::MAX)),
                    bad: bad.clone(),
                    stalled: stalled.clone(),
                    broken: broken.clone(),
                };
                tokio::spawn(pass(stream, to, weather));
            }
        });
        Ok(proxy)
    }

    pub(crate) fn be_good(&self) {
        self.bad.store(false, Ordering::Relaxed);
    }
}

struct Weather {
    dice: Dice,
    bad: Arc<AtomicBool>,
    stalled: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

async fn pass(mut client: TcpStream, to: SocketAddr, mut weather: Weather) -> std::io::Result<()> {
    let mut relay = TcpStream::connect(to).await?;
    let (mut asked, mut told) = ([0; 2_048], [0; 2_048]);
    loop {
        let until = sleep(weather.dice.millis(GOOD_FOR));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                read = client.read(&mut asked) => match read? {
                    0 => return Ok(()),
                    read => relay.write_all(&asked[..read]).await?,
                },
                read = relay.read(&mut told) => match read? {
                    0 => return Ok(()),
                    read => client.write_all(&told[..read]).await?,
                },
            }
        }
        if !weather.bad.load(Ordering::Relaxed) {
            continue;
        }
        if weather.dice.draw(0..2) == 0 {
            weather.broken.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        weather.stalled.fetch_add(1, Ordering::Relaxed);
        sleep(weather.dice.millis(STILL)).await;
    }
}

/// SplitMix64: what happens follows from the seed and the order of connections.
struct Dice(u64);

impl Dice {
    fn draw(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (mixed ^ (mixed >> 31)) % (range.end - range.start)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.draw(range))
    }
}
