//! Somebody's own message bus, which hears of every change.

use std::sync::Arc;

use flagforge_platform::ports::EventSink;

use crate::args::EventsTo;

/// The bus that was named, if one was.
#[cfg(feature = "nats")]
pub(super) async fn sink(to: &EventsTo) -> anyhow::Result<Option<Arc<dyn EventSink>>> {
    let Some(url) = &to.nats else { return Ok(None) };
    let sink = flagforge_embedded::NatsSink::connect(url, to.nats_credentials.as_deref()).await?;
    Ok(Some(Arc::new(sink)))
}

#[cfg(not(feature = "nats"))]
pub(super) async fn sink(_: &EventsTo) -> anyhow::Result<Option<Arc<dyn EventSink>>> {
    Ok(None)
}
