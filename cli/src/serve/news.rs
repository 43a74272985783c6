//! Who is told of new roots: the relay, and then whoever asks the relay: pages, and answers that wait.

use std::sync::Arc;

use flagforge_platform::ports::Notice;
use flagforge_relay::Relay;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::page::News;

/// From new roots to the relay, and then to the pages, which ask the relay.
pub(super) async fn tell(
    relay: Arc<Relay>,
    mut bus: broadcast::Receiver<Notice>,
    news: broadcast::Sender<News>,
) {
    loop {
        match bus.recv().await {
            Ok(Notice::Published { org, env, revision }) => {
                relay.notify(&org, &env).await;
                if let Ok(revision) = revision.parse() {
                    // An error says that nobody listens.
                    drop(news.send(News { org, env, revision }));
                }
            }
            // The relay polls, and a page that missed something is told of the next.
            Ok(Notice::Changed { .. }) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
