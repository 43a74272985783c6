//! A distribution in front of the bucket: plain requests, each with the query that was signed for what it names.

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::{MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, ScopeId};
use reqwest::header::IF_NONE_MATCH;
use reqwest::{Client, RequestBuilder};

use super::grant::Pass;
use super::{Fetched, Origin, OriginError, SetupError, names, usize_of, web};

/// An origin over a distribution, as a grant describes it.
#[derive(Debug)]
pub(super) struct CdnOrigin {
    client: Client,
    address: String,
    passes: Vec<Pass>,
}

impl CdnOrigin {
    /// At `http(s)://host[:port]`.
    pub(super) fn new(address: &str, passes: Vec<Pass>) -> Result<Self, SetupError> {
        web::address(address)?;
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self { client: web::client()?, address, passes })
    }

    fn get(&self, name: &str) -> Result<RequestBuilder, OriginError> {
        let pass = self.passes.iter().find(|pass| pass.covers(name));
        let query = &pass
            .ok_or_else(|| OriginError::Unreachable {
                what: name.to_owned(),
                source: "what was granted is for other names".into(),
            })?
            .query;
        // Names are made of slugs and digests: nothing in them would have to be encoded.
        Ok(self.client.get(format!("{}/{name}?{query}", self.address)))
    }
}

#[async_trait]
impl Origin for CdnOrigin {
    async fn trust(&self, _: &ScopeId, number: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        let name = number.map_or_else(|| names::TRUST.to_owned(), names::trust);
        web::whole(self.get(&name)?, &name, MAX_TRUST_BYTES).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        let name = names::root(scope);
        let mut request = self.get(&name)?;
        if let Some(etag) = held {
            request = request.header(IF_NONE_MATCH, etag);
        }
        web::root(request, &name, MAX_ROOT_BYTES).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        let name = names::chunk(&scope.org, &named.sha256);
        web::whole(self.get(&name)?, &name, usize_of(named.bytes)).await
    }
}

#[cfg(test)]
mod tests {
    use flagforge_flags::keys::{EnvKey, OrgKey};
    use flagforge_flags::manifest::Scope;

    use super::*;
    use crate::loader::chain;

    #[tokio::test]
    async fn what_is_logged_of_a_failure_has_no_pass_in_it() {
        let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
        let scope = ScopeId { org, env, scope: Scope::Environment };
        let pass = Pass { names: names::root(&scope), query: "Policy=worth-something".into() };
        // Nobody listens there.
        let origin = CdnOrigin::new("http://127.0.0.1:1", vec![pass]).unwrap();
        let failed = origin.root(&scope, None).await.unwrap_err();
        assert!(!chain(&failed).contains("worth-something"), "{}", chain(&failed));
        assert!(!format!("{failed:?} {origin:?}").contains("worth-something"));
        let unsigned = origin.trust(&scope, None).await.unwrap_err();
        assert!(chain(&unsigned).contains("for other names"), "{}", chain(&unsigned));
    }
}
