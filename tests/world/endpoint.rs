//! A webhook's other side: an HTTP listener on this machine, and what reached it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flagforge_flags::manifest::Digest;
use serde_json::Value as Json;
use tokio::task::JoinSet;

/// One delivery.
#[derive(Debug, Clone)]
pub struct Heard {
    pub id: String,
    pub timestamp: String,
    pub signatures: Vec<String>,
    pub body: Bytes,
}

impl Heard {
    pub fn event(&self) -> anyhow::Result<Json> {
        serde_json::from_slice(&self.body).context("a delivery is no JSON")
    }

    /// Its type and subject.
    pub fn told(&self) -> anyhow::Result<String> {
        let event = self.event()?;
        Ok(format!("{} {}", event["type"], event["subject"]).replace('"', ""))
    }

    /// Whether one of its signatures is what Standard Webhooks asks for with this secret.
    pub fn is_signed_with(&self, secret: &str) -> anyhow::Result<bool> {
        let text = format!("{}.{}.", self.id, self.timestamp);
        let expected = hmac(secret, &[text.as_bytes(), &self.body].concat())?;
        Ok(self.signatures.contains(&format!("v1,{expected}")))
    }

    fn read(headers: &HeaderMap, body: Bytes) -> Self {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let signatures = header("webhook-signature").split(' ').map(str::to_owned).collect();
        Self { id: header("webhook-id"), timestamp: header("webhook-timestamp"), signatures, body }
    }
}

/// Listens as long as it lives.
#[derive(Debug)]
pub struct Endpoint {
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    _task: JoinSet<()>,
}

impl Endpoint {
    /// One that takes everything.
    pub async fn start() -> anyhow::Result<Self> {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let answers: Arc<Mutex<VecDeque<StatusCode>>> = Arc::default();
        let (to, next) = (heard.clone(), answers.clone());
        let hook = move |headers: HeaderMap, body: Bytes| async move {
            to.lock().unwrap_or_else(PoisonError::into_inner).push(Heard::read(&headers, body));
            let answer = next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            answer.unwrap_or(StatusCode::NO_CONTENT)
        };
        let app = axum::Router::new().route("/hook", axum::routing::post(hook));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, heard, answers, _task: task })
    }

    /// Answers so the next time, before what it was told to answer after that.
    pub fn answer_next(&self, status: StatusCode) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push_back(status);
    }

    /// All that it heard so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// HMAC as RFC 2104 writes it, so that nothing is shared with what is tested; base64 likewise.
fn hmac(secret: &str, message: &[u8]) -> anyhow::Result<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encoded = secret.strip_prefix("whsec_").context("a secret begins with whsec_")?;
    let (mut key, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in encoded.bytes().filter(|b| *b != b'=') {
        let value = LETTERS.iter().position(|l| *l == digit).context("a secret is base64")?;
        bits = (bits << 6) | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            key.push((bits >> count) as u8);
        }
    }
    key.resize(64, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let raw = |digest: Digest| -> anyhow::Result<Vec<u8>> {
        let hex = digest.to_string();
        (0..32).map(|at| Ok(u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)?)).collect()
    };
    let inner = raw(Digest::of(&[pad(0x36), message.to_vec()].concat()))?;
    let sum = raw(Digest::of(&[pad(0x5c), inner].concat()))?;
    let mut text = String::new();
    for part in sum.chunks(3) {
        let word = part.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte))
            << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place > part.len() { '=' } else { char::from(digit) });
        }
    }
    Ok(text)
}
