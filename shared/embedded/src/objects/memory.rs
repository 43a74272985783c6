//! Objects in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_platform::ports::{ETag, Fetched, ObjectError, Objects, PutIf};

use super::{allows, check_size, fetched, name, tag_of, unavailable};

/// Objects that live as long as this value.
#[derive(Debug, Default)]
pub struct MemoryObjects(Mutex<HashMap<String, Bytes>>);

impl MemoryObjects {
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        name::check(name).map_err(unavailable)?;
        let standing = self.objects().get(name).cloned();
        Ok(standing.map_or(Fetched::Absent, |bytes| fetched(bytes, held)))
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        _content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        name::check(name).map_err(unavailable)?;
        check_size(name, bytes.len())?;
        let mut objects = self.objects();
        let standing = objects.get(name).map(|bytes| tag_of(bytes));
        allows(&condition, standing.as_ref())?;
        let etag = tag_of(&bytes);
        objects.insert(name.to_owned(), bytes);
        Ok(etag)
    }
}
