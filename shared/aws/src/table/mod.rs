//! The table on DynamoDB.

mod failure;
mod item;
mod range;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Credentials};
use aws_sdk_dynamodb::types::TransactWriteItem;
use flagforge_platform::ports::{
    Item, ItemKey, Page, Query, Table, TableError, Write, check_transaction,
};

use crate::Connection;

/// A DynamoDB table with string keys `pk` and `sk`. Items hold `v` (a number, the version), `body` (text) and, when they may
/// expire, `expires` (a number of Unix seconds, the table's TTL attribute).
#[derive(Debug, Clone)]
pub struct DynamoTable {
    client: Client,
    name: String,
}

impl DynamoTable {
    /// The table of this name. Nothing is sent yet.
    pub fn new(connection: &Connection, name: &str) -> Self {
        Self { client: Client::new(connection.sdk()), name: name.to_owned() }
    }

    /// The same in a session: with its key, secret and token instead of the connection's.
    pub(crate) fn in_session(
        connection: &Connection,
        name: &str,
        (key, secret, token): (String, String, String),
    ) -> Self {
        let credentials = Credentials::new(key, secret, Some(token), None, "session");
        let config = Builder::from(connection.sdk()).credentials_provider(credentials).build();
        Self { client: Client::from_conf(config), name: name.to_owned() }
    }
}

#[async_trait]
impl Table for DynamoTable {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let request = request.set_key(Some(item::key(key)));
        let found = request.send().await.map_err(failure::of_read)?;
        found.item.map(item::decode).transpose()
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        range::page(&self.client, &self.name, query).await
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        check_transaction(&writes)?;
        if writes.is_empty() {
            return Ok(());
        }
        let actions: Result<Vec<TransactWriteItem>, TableError> =
            writes.into_iter().map(|write| item::action(&self.name, write)).collect();
        // Without a token of the caller's the SDK makes one for its own retries, so that no retry has a second effect.
        let request = self.client.transact_write_items().set_transact_items(Some(actions?));
        let request = request.set_client_request_token(token.map(str::to_owned));
        request.send().await.map(drop).map_err(failure::of_transaction)
    }
}
