//! A queue of SQS as doorbell: subscribed to the topic that announces roots, it says which environment has a new one.
//! (Amazon SQS API Reference, `ReceiveMessage` and `DeleteMessageBatch` in the AWS JSON protocol 1.0.)

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Digest, ScopeId};
use reqwest::header::AUTHORIZATION;
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, broadcast};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::grant::Credentials;
use super::s3::variable;
use super::sigv4::{self, Signing};
use super::{OriginError, SetupError, web};
use crate::clock;
use crate::follow::Pace;
use crate::loader::chain;

/// How long SQS holds an answer that has no message: its longest.
const WAIT_SECONDS: u64 = 20;
/// Messages of one answer: SQS's most.
const MESSAGES: usize = 10;
/// Bytes of one answer: ten messages of 256 KiB with half as much again for what JSON escapes. A notice has about 150.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest wait between retries while the queue does not answer.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// The least time between two asks, should something answer at once that there is nothing.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Environments told of that a client has not heard of yet; one that fell behind refreshes in any case.
const MAX_BEHIND: usize = 64;

const MEDIA: &str = "application/x-amz-json-1.0";
const WHAT: &str = "queue";

/// A queue that is subscribed to the topic of published roots; hand it to
/// [`Connect::notified_by`](crate::Connect::notified_by). A clone is the same queue: clients of several environments in one
/// process share one, which is asked once, and each is rung for its own. Processes do not share a queue: a message would ring at one
/// of them only, and the others would poll.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    url: String,
    endpoint: String,
    host: String,
    region: String,
    credentials: Credentials,
    /// Held by the one who asks the queue; the others hear from it.
    turn: Mutex<()>,
    told: broadcast::Sender<Published>,
    published: AtomicU64,
    rung: AtomicU64,
    passed_over: AtomicU64,
    malformed: AtomicU64,
    failures: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a queue has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoticesSeen {
    /// Messages that say of an environment that it has a new root.
    pub published: u64,
    /// How often one of them rang for a client.
    pub rung: u64,
    /// Messages of another kind.
    pub passed_over: u64,
    /// Those that are no notices.
    pub malformed: u64,
    /// Asks that the queue did not answer, or refused.
    pub failures: u64,
}

/// What a message says, of which no more is believed than that it is worth a look.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Published {
    org: String,
    env: String,
}

#[derive(Deserialize)]
#[serde(tag = "notice", rename_all = "camelCase")]
enum Notice {
    Published(Published),
    #[serde(other)]
    Another,
}

/// What SNS makes of a message where its delivery is not raw.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Receive<'q> {
    queue_url: &'q str,
    max_number_of_messages: usize,
    wait_time_seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Received {
    messages: Vec<Message>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Message {
    receipt_handle: String,
    body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delete<'q> {
    queue_url: &'q str,
    entries: Vec<Entry<'q>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'q> {
    id: String,
    receipt_handle: &'q str,
}

impl SqsQueue {
    /// A queue by its URL, with the environment's credentials. The region is that of the URL's host, else `AWS_REGION` or
    /// `AWS_DEFAULT_REGION`.
    pub fn from_env(url: &str) -> Result<Self, SetupError> {
        let in_host = Url::parse(url).ok().and_then(|url| {
            let (_, rest) = url.host_str()?.split_once("sqs.")?;
            rest.split_once(".amazonaws.com").map(|(region, _)| region.to_owned())
        });
        let region = in_host.map_or_else(
            || variable("AWS_REGION").or_else(|_| variable("AWS_DEFAULT_REGION")),
            Ok,
        )?;
        Self::new(url, &region, Credentials::from_env()?)
    }

    /// A queue at `http(s)://host[:port]/<account>/<name>`. `https` needs one of reqwest's TLS features, which the host enables.
    pub fn new(url: &str, region: &str, credentials: Credentials) -> Result<Self, SetupError> {
        let address = || SetupError::Address(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| address())?;
        let plain = matches!(parsed.scheme(), "http" | "https") && parsed.query().is_none();
        if !plain || parsed.path().len() < 2 {
            return Err(address());
        }
        let host = sigv4::host(&parsed).ok_or_else(address)?;
        let none = || AtomicU64::new(0);
        Ok(Self {
            shared: Arc::new(Shared {
                client: web::client()?,
                url: url.to_owned(),
                endpoint: format!("{}://{host}/", parsed.scheme()),
                host,
                region: region.to_owned(),
                credentials,
                turn: Mutex::new(()),
                told: broadcast::Sender::new(MAX_BEHIND),
                published: none(),
                rung: none(),
                passed_over: none(),
                malformed: none(),
                failures: none(),
            }),
        })
    }

    /// What the queue has said so far.
    pub fn seen(&self) -> NoticesSeen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { published, rung, passed_over, malformed, failures, .. } = &*self.shared;
        NoticesSeen {
            published: of(published),
            rung: of(rung),
            passed_over: of(passed_over),
            malformed: of(malformed),
            failures: of(failures),
        }
    }

    /// Calls `tell` for every message, with the environment that it names, for ever; with none where some were missed because
    /// they came faster than they were heard: any environment may have been among them. For whoever follows many, as a relay
    /// does. A future that is dropped stops; it needs tokio, and does not block.
    pub async fn announce(&self, tell: impl Fn(Option<(OrgKey, EnvKey)>) + Send) {
        let mut told = self.shared.told.subscribe();
        let hear = async {
            loop {
                match told.recv().await {
                    Ok(Published { org, env }) => {
                        // What no environment can be called is none.
                        if let (Ok(org), Ok(env)) = (OrgKey::new(&org), EnvKey::new(&env)) {
                            self.shared.rung.fetch_add(1, Ordering::Relaxed);
                            tell(Some((org, env)));
                        }
                    }
                    // The sender lives as long as this does.
                    Err(_) => tell(None),
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = self.ask_for_ever() => {}
        }
    }

    /// Calls `ring` for every message of the scope's environment, for ever.
    pub(crate) async fn listen(&self, scope: &ScopeId, ring: impl Fn() + Send) {
        let mut told = self.shared.told.subscribe();
        let mine = |it: &Published| it.org == scope.org.as_str() && it.env == scope.env.as_str();
        let hear = async {
            loop {
                match told.recv().await {
                    Ok(published) if mine(&published) => {
                        self.shared.rung.fetch_add(1, Ordering::Relaxed);
                        ring();
                    }
                    Ok(_) => {}
                    // What was missed may have been its own. The sender lives as long as this does.
                    Err(_) => ring(),
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = self.ask_for_ever() => {}
        }
    }

    /// Asks the queue, as soon as nobody else does.
    async fn ask_for_ever(&self) {
        let _turn = self.shared.turn.lock().await;
        let mut pace = Pace::new(MAX_RETRY);
        loop {
            let asked = Instant::now();
            match self.round().await {
                Ok(0) if asked.elapsed() < LEAST_WAIT => sleep(LEAST_WAIT).await,
                Ok(_) => pace = Pace::new(MAX_RETRY),
                Err(error) => {
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                    debug!(queue = self.shared.url, error = chain(&error), "no notices");
                    sleep(pace.after_failure()).await;
                }
            }
        }
    }

    /// Takes some messages, tells of them, and removes them, whatever they say. Answers how many they were.
    async fn round(&self) -> Result<usize, OriginError> {
        let url = self.shared.url.as_str();
        let (max_number_of_messages, wait_time_seconds) = (MESSAGES, WAIT_SECONDS);
        let receive = Receive { queue_url: url, max_number_of_messages, wait_time_seconds };
        let answer = self.call("ReceiveMessage", &receive).await?;
        let received: Received =
            serde_json::from_slice(&answer).map_err(|error| web::unreachable(WHAT, error))?;
        for message in &received.messages {
            self.tell(&message.body);
        }
        if !received.messages.is_empty() {
            let entries = received.messages.iter().enumerate().map(|(place, message)| Entry {
                id: place.to_string(),
                receipt_handle: &message.receipt_handle,
            });
            self.call("DeleteMessageBatch", &Delete { queue_url: url, entries: entries.collect() })
                .await?;
        }
        Ok(received.messages.len())
    }

    fn tell(&self, body: &str) {
        let inner = serde_json::from_str(body).map(|Envelope { message }| message).ok();
        let count = match serde_json::from_str(inner.as_deref().unwrap_or(body)) {
            Ok(Notice::Published(published)) => {
                // There is somebody who hears it: whoever asked the queue.
                let _ = self.shared.told.send(published);
                &self.shared.published
            }
            Ok(Notice::Another) => &self.shared.passed_over,
            Err(_) => &self.shared.malformed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    async fn call(&self, action: &str, body: &impl Serialize) -> Result<bytes::Bytes, OriginError> {
        let body = serde_json::to_vec(body).map_err(|error| web::unreachable(WHAT, error))?;
        let at = clock::now();
        let Shared { client, endpoint, host, region, credentials, .. } = &*self.shared;
        let (stamp, target) = (sigv4::stamp(at), format!("AmazonSQS.{action}"));
        let mut headers: Vec<(&str, &str)> =
            vec![("content-type", MEDIA), ("host", host), ("x-amz-date", &stamp)];
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token));
        }
        headers.push(("x-amz-target", &target));
        let digest = Digest::of(&body).to_string();
        let signing = Signing {
            method: "POST",
            service: "sqs",
            body: &digest,
            path: "/",
            headers: &headers,
            region,
            at,
        };
        let Credentials { access_key_id, secret_access_key, .. } = credentials;
        let authorization = sigv4::authorization(&signing, access_key_id, secret_access_key);
        let mut request = client.post(endpoint).header(AUTHORIZATION, authorization).body(body);
        // The client writes Host itself.
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        let within = Duration::from_secs(WAIT_SECONDS) + web::ANSWER_TIMEOUT;
        let sent = request.timeout(within).send().await;
        let response = sent.map_err(|error| web::unreachable(WHAT, error))?;
        match response.status() {
            StatusCode::OK => web::body(response, WHAT, MAX_ANSWER_BYTES).await,
            status => Err(web::refused(status, WHAT)),
        }
    }
}
