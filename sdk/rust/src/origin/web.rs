//! What the origins over HTTP share: one client, bounded in time, and bodies bounded in size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ETAG, HeaderMap};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect};

use super::{Fetched, OriginError, SetupError};

/// The time to find the other side at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time for one whole answer. A chunk of 16 MiB needs 13 Mbit/s to make it.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an ETag that is worth holding; others are treated as none.
const MAX_ETAG_BYTES: usize = 256;

/// Who is asked for, where it is one tenant.
#[cfg(feature = "http")]
pub(super) const TENANT: &str = "FlagForge-Tenant";

/// A client that follows no redirects: a redirect would carry the key, or a signature, elsewhere. Nor does it inflate
/// anything, whichever of reqwest's features the host's build has on: a body is read as it was signed.
pub(super) fn client() -> Result<Client, SetupError> {
    building().build().map_err(|error| SetupError::Client(Box::new(error)))
}

/// The same, for who has more to say of it.
pub(super) fn building() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .user_agent(concat!("flagforge-rust/", env!("CARGO_PKG_VERSION")))
}

/// An address of the form `http(s)://host[:port]`.
pub(super) fn address(text: &str) -> Result<Url, SetupError> {
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.username().is_empty()
    };
    let url = Url::parse(text).ok().filter(plain);
    url.ok_or_else(|| SetupError::Address(text.to_owned()))
}

/// Sends a conditional read of a root.
pub(super) async fn root(
    request: RequestBuilder,
    what: &str,
    limit: usize,
) -> Result<Fetched, OriginError> {
    let response = send(request, what).await?;
    match response.status() {
        StatusCode::OK => {
            let etag = etag(response.headers());
            Ok(Fetched::Found { bytes: body(response, what, limit).await?, etag })
        }
        StatusCode::NOT_MODIFIED => Ok(Fetched::NotModified),
        StatusCode::NOT_FOUND => Ok(Fetched::Absent),
        status => Err(refused(status, what)),
    }
}

/// Sends a plain read.
pub(super) async fn whole(
    request: RequestBuilder,
    what: &str,
    limit: usize,
) -> Result<Option<Bytes>, OriginError> {
    let response = send(request, what).await?;
    match response.status() {
        StatusCode::OK => body(response, what, limit).await.map(Some),
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(refused(status, what)),
    }
}

async fn send(request: RequestBuilder, what: &str) -> Result<Response, OriginError> {
    let sent = request.timeout(ANSWER_TIMEOUT).send().await;
    sent.map_err(|error| nameless(what, error))
}

/// Without the address, whose query may be what was granted: errors are logged.
fn nameless(what: &str, error: reqwest::Error) -> OriginError {
    unreachable(what, error.without_url())
}

/// The body, read piece by piece so that an endless one is left at the limit.
pub(super) async fn body(
    mut response: Response,
    what: &str,
    limit: usize,
) -> Result<Bytes, OriginError> {
    let too_large = || OriginError::TooLarge { what: what.to_owned(), limit };
    let declared = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(too_large());
    }
    let mut bytes = BytesMut::with_capacity(declared);
    while let Some(piece) = response.chunk().await.map_err(|error| nameless(what, error))? {
        if bytes.len().saturating_add(piece.len()) > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?;
    (text.len() <= MAX_ETAG_BYTES).then(|| text.to_owned())
}

pub(super) fn refused(status: StatusCode, what: &str) -> OriginError {
    OriginError::Refused { status: status.as_u16(), what: what.to_owned() }
}

pub(super) fn unreachable(
    what: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> OriginError {
    OriginError::Unreachable { what: what.to_owned(), source: Box::new(error) }
}
