//! A bucket, read with a small signer of its own: the AWS SDK would be most of a service's build.

use std::env;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::{MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, ScopeId};
use flagforge_flags::time::Timestamp;
use reqwest::header::{AUTHORIZATION, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder};

use super::grant::Credentials;
use super::sigv4::{self, Signing};
use super::{Fetched, Origin, OriginError, SetupError, names, usize_of, web};
use crate::clock;

impl Credentials {
    /// The credentials in the process's environment, where Lambda and CI put them.
    pub fn from_env() -> Result<Self, SetupError> {
        Ok(Self {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN").ok(),
        })
    }
}

/// An origin over an S3 bucket, addressed by path. `https` needs one of reqwest's TLS features, which the host enables.
#[derive(Debug, Clone)]
pub struct S3Origin {
    client: Client,
    endpoint: String,
    host: String,
    bucket: String,
    region: String,
    credentials: Credentials,
}

impl S3Origin {
    /// An origin with the environment's credentials. Region and endpoint fall back to `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, and `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, then to AWS itself.
    pub fn from_env(
        bucket: &str,
        region: Option<&str>,
        endpoint: Option<&str>,
    ) -> Result<Self, SetupError> {
        let region = region
            .map_or_else(
                || variable("AWS_REGION").or_else(|_| variable("AWS_DEFAULT_REGION")),
                |region| Ok(region.to_owned()),
            )
            .map_err(|_| SetupError::Environment("region= or AWS_REGION"))?;
        let endpoint = endpoint.map(str::to_owned).or_else(|| {
            variable("AWS_ENDPOINT_URL_S3").or_else(|_| variable("AWS_ENDPOINT_URL")).ok()
        });
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        Self::new(&endpoint, bucket, &region, Credentials::from_env()?)
    }

    /// An origin at `http(s)://host[:port]`.
    pub fn new(
        endpoint: &str,
        bucket: &str,
        region: &str,
        credentials: Credentials,
    ) -> Result<Self, SetupError> {
        let host = sigv4::host(&web::address(endpoint)?)
            .ok_or_else(|| SetupError::Address(endpoint.to_owned()))?;
        Ok(Self {
            client: web::client()?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            host,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            credentials,
        })
    }

    fn get(&self, name: &str) -> RequestBuilder {
        self.signed(name, clock::now())
    }

    fn signed(&self, name: &str, at: Timestamp) -> RequestBuilder {
        let path = sigv4::encode_path(&format!("/{}/{name}", self.bucket));
        let (stamp, nothing) = (sigv4::stamp(at), sigv4::nothing());
        let mut headers: Vec<(&str, &str)> =
            vec![("host", &self.host), ("x-amz-content-sha256", &nothing), ("x-amz-date", &stamp)];
        if let Some(token) = &self.credentials.session_token {
            headers.push(("x-amz-security-token", token));
        }
        let (method, service, region) = ("GET", "s3", self.region.as_str());
        let (path, headers) = (path.as_str(), headers.as_slice());
        let signing = Signing { method, service, body: &nothing, path, headers, region, at };
        let Credentials { access_key_id, secret_access_key, .. } = &self.credentials;
        let authorization = sigv4::authorization(&signing, access_key_id, secret_access_key);
        let mut request = self.client.get(format!("{}{path}", self.endpoint));
        // The client writes Host itself.
        for (name, value) in headers.iter().skip(1) {
            request = request.header(*name, *value);
        }
        request.header(AUTHORIZATION, authorization)
    }
}

#[async_trait]
impl Origin for S3Origin {
    async fn trust(&self, _: &ScopeId, number: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        let name = number.map_or_else(|| names::TRUST.to_owned(), names::trust);
        web::whole(self.get(&name), &name, MAX_TRUST_BYTES).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        let name = names::root(scope);
        let mut request = self.get(&name);
        if let Some(etag) = held {
            request = request.header(IF_NONE_MATCH, etag);
        }
        web::root(request, &name, MAX_ROOT_BYTES).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        let name = names::chunk(&scope.org, &named.sha256);
        web::whole(self.get(&name), &name, usize_of(named.bytes)).await
    }
}

pub(super) fn variable(name: &'static str) -> Result<String, SetupError> {
    env::var(name).ok().filter(|text| !text.is_empty()).ok_or(SetupError::Environment(name))
}
