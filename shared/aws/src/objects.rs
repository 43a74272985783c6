//! Objects on S3.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, MAX_LISTED_OBJECTS, MAX_OBJECT_BYTES, ObjectError, Objects, PutIf,
};
use thiserror::Error;

use crate::Connection;

/// S3's own bound on a key.
const MAX_NAME_BYTES: usize = 1_024;

/// A bucket. It encrypts by its own default.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

#[derive(Debug, Error)]
enum Fault {
    #[error("`{0}` is not a name of an object")]
    Name(String),
    #[error("the object has {actual} bytes, over the limit of {MAX_OBJECT_BYTES}")]
    TooLarge { actual: u64 },
    #[error("the object came without a tag")]
    NoTag,
    #[error("the object came without a name")]
    NoName,
    #[error("the object came without the time of its put")]
    NoTime,
}

impl S3Objects {
    /// The bucket of this name. Nothing is sent yet.
    pub fn new(connection: &Connection, bucket: &str) -> Self {
        Self { client: connection.s3(), bucket: bucket.to_owned() }
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        check(name)?;
        let held = held.map(|etag| etag.0.clone());
        let request = self.client.get_object().bucket(&self.bucket).key(name);
        let found = match request.set_if_none_match(held).send().await {
            Ok(found) => found,
            Err(error) => {
                return match status(&error) {
                    Some(304) => Ok(Fetched::NotModified),
                    Some(404) if error.code() != Some("NoSuchBucket") => Ok(Fetched::Absent),
                    _ => Err(unavailable(error)),
                };
            }
        };
        let actual = found.content_length().unwrap_or(0).unsigned_abs();
        if actual > MAX_OBJECT_BYTES as u64 {
            return Err(unavailable(Fault::TooLarge { actual }));
        }
        let etag = found.e_tag().map(str::to_owned).ok_or_else(|| unavailable(Fault::NoTag))?;
        let bytes = found.body.collect().await.map_err(unavailable)?.into_bytes();
        Ok(Fetched::Found { bytes, etag: ETag(etag) })
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        check(name)?;
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(unavailable(Fault::TooLarge { actual: bytes.len() as u64 }));
        }
        let request = self.client.put_object().bucket(&self.bucket).key(name);
        let request = request.content_type(content_type).body(ByteStream::from(bytes));
        let (request, tries) = match condition {
            PutIf::Any => (request, Builder::new()),
            PutIf::Absent => (request.if_none_match("*"), once()),
            PutIf::Matches(etag) => (request.if_match(etag.0), once()),
        };
        match request.customize().config_override(tries).send().await {
            Ok(put) => put.e_tag.map(ETag).ok_or_else(|| unavailable(Fault::NoTag)),
            Err(error) => Err(match status(&error) {
                // 412: the condition did not hold. 409: another conditional put is under way. 404: what should match is gone.
                Some(409 | 412) => ObjectError::Lost,
                Some(404) if error.code() == Some("NoSuchKey") => ObjectError::Lost,
                _ => unavailable(error),
            }),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let limit = i32::try_from(MAX_LISTED_OBJECTS).unwrap_or(i32::MAX);
        let request = request.max_keys(limit).set_start_after(after.map(str::to_owned));
        let found = request.send().await.map_err(unavailable)?;
        found
            .contents()
            .iter()
            .map(|object| {
                let name = object.key().ok_or_else(|| unavailable(Fault::NoName))?.to_owned();
                let put = object.last_modified().ok_or_else(|| unavailable(Fault::NoTime))?;
                Ok(ListedObject { name, put: timestamp(put) })
            })
            .collect()
    }

    /// S3 removes on no condition of time, so it is asked first. Between the two calls a put is lost from sight; the
    /// bucket keeps its version.
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        check(name)?;
        let found = match self.client.head_object().bucket(&self.bucket).key(name).send().await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(404) => return Ok(false),
            Err(error) => return Err(unavailable(error)),
        };
        let put = found.last_modified().ok_or_else(|| unavailable(Fault::NoTime))?;
        if timestamp(put) >= before {
            return Ok(false);
        }
        let removal = self.client.delete_object().bucket(&self.bucket).key(name);
        removal.send().await.map_err(unavailable)?;
        Ok(true)
    }
}

/// S3 says whole seconds.
fn timestamp(at: &DateTime) -> Timestamp {
    Timestamp::from_seconds(at.secs())
}

/// Tries no second time: a put that arrived and whose answer was lost would then lose against itself, and "lost" has to mean
/// that nothing was written.
fn once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ObjectError {
    ObjectError::Unavailable(error.into())
}

/// The port's grammar, which keeps a name from meaning anything else in a URL or on a disk.
fn check(name: &str) -> Result<(), ObjectError> {
    let part_fits = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=-".contains(&b))
    };
    if name.len() <= MAX_NAME_BYTES && name.split('/').all(part_fits) {
        Ok(())
    } else {
        Err(unavailable(Fault::Name(name.chars().take(100).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        let longest = "n".repeat(MAX_NAME_BYTES);
        for good in ["trust.json", "trust/1.json", "acme/prod/environment.jws", "..a", &longest] {
            assert!(check(good).is_ok(), "{good}");
        }
        let past = format!("{longest}n");
        for bad in ["", ".", "..", "/a", "a/", "a//b", "a/../b", "a b", "ü", "a?b", "a%2e", &past]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
