//! The provider.

use std::borrow::Cow;

use async_trait::async_trait;
use flagforge::{Client, Flag, FlagType, Flags, Json, Status, Tenant};
use open_feature::provider::{
    FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails,
};
use open_feature::{EvaluationContext, EvaluationErrorCode as Code, EvaluationResult, StructValue};

use crate::answered::{error, invalid, resolved};
use crate::asked;
use crate::names::{MAX_NAMES, Unnamed, name};
use crate::structure::structure;

/// Flags for OpenFeature: of one tenant, or of the one that each context names. There is no way to ask for nobody's.
#[derive(Debug, Clone)]
pub struct Provider {
    asks: Asks,
    metadata: ProviderMetadata,
}

#[derive(Debug, Clone)]
enum Asks {
    One(Tenant),
    Named(Client),
}

impl Provider {
    /// A provider of one tenant. A context may name it in `tenant`; one that names another is an error.
    pub fn for_tenant(tenant: Tenant) -> Self {
        Self::new(Asks::One(tenant))
    }

    /// A provider of the tenant that each context names in the attribute `tenant`. One that names none is an error.
    pub fn for_tenant_in_context(client: Client) -> Self {
        Self::new(Asks::Named(client))
    }

    fn new(asks: Asks) -> Self {
        Self { asks, metadata: ProviderMetadata::new("FlagForge") }
    }

    fn tenant(&self, context: &EvaluationContext) -> EvaluationResult<Cow<'_, Tenant>> {
        let named = asked::tenant(context)?;
        match (&self.asks, named) {
            (Asks::One(tenant), None) => Ok(Cow::Borrowed(tenant)),
            (Asks::One(tenant), Some(named)) if tenant.key().as_str() == named => {
                Ok(Cow::Borrowed(tenant))
            }
            (Asks::One(_), Some(_)) => {
                Err(invalid("the context names another tenant than the provider's"))
            }
            (Asks::Named(client), Some(named)) => {
                let tenant = client.tenant(named);
                Ok(Cow::Owned(tenant.map_err(|error| invalid(format!("`tenant`: {error}")))?))
            }
            (Asks::Named(_), None) => Err(invalid("the context does not name a `tenant`")),
        }
    }

    fn resolve<T: Own>(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<T::Value>> {
        let tenant = self.tenant(context)?;
        let flags = asked::asking(&tenant, context)?.flags();
        let flag = Flag::new(named(&flags, key)?, T::ABSENT);
        resolved(&flags, key, flags.details(&flag), T::own)
    }
}

fn named(flags: &Flags<'_>, key: &str) -> EvaluationResult<&'static str> {
    name(key).map_err(|unnamed| match unnamed {
        Unnamed::NoKey if flags.revision().is_none() => {
            error(Code::ProviderNotReady, "there is no manifest yet")
        }
        Unnamed::NoKey => error(Code::FlagNotFound, "there is no such flag"),
        Unnamed::TooMany => {
            let message = format!("{MAX_NAMES} other keys were asked for already");
            error(Code::General("GENERAL".to_owned()), message)
        }
    })
}

/// A type that the SDK asks for, and what OpenFeature calls it.
trait Own: FlagType {
    type Value;

    /// What the SDK is told to fall back on. It is never given: without a variant there is an error.
    const ABSENT: Self;

    fn own(answer: Self::Answer<'_>) -> EvaluationResult<Self::Value>;
}

macro_rules! as_it_is {
    ($type:ty, $absent:expr) => {
        impl Own for $type {
            type Value = Self;
            const ABSENT: Self = $absent;

            fn own(answer: Self) -> EvaluationResult<Self> {
                Ok(answer)
            }
        }
    };
}

as_it_is!(bool, false);
as_it_is!(i64, 0);
as_it_is!(f64, 0.0);

impl Own for &'static str {
    type Value = String;
    const ABSENT: Self = "";

    fn own(answer: &str) -> EvaluationResult<String> {
        Ok(answer.to_owned())
    }
}

impl Own for &'static Json {
    type Value = StructValue;
    const ABSENT: Self = &Json::Null;

    fn own(answer: &Json) -> EvaluationResult<StructValue> {
        let mismatch = |why| error(Code::TypeMismatch, why);
        let fields = answer.as_object();
        let fields = fields.ok_or_else(|| mismatch("the value is a list, and not a structure"))?;
        structure(fields).ok_or_else(|| mismatch("a list in the value has null in it"))
    }
}

#[async_trait]
impl FeatureProvider for Provider {
    fn status(&self) -> ProviderStatus {
        let status = match &self.asks {
            Asks::One(tenant) => tenant.flags().status(),
            Asks::Named(client) => client.status(),
        };
        match status {
            Status::Ready => ProviderStatus::Ready,
            Status::LastKnownGood => ProviderStatus::STALE,
            Status::Defaults => ProviderStatus::NotReady,
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve::<bool>(flag_key, context)
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve::<i64>(flag_key, context)
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve::<f64>(flag_key, context)
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.resolve::<&'static str>(flag_key, context)
    }

    async fn resolve_struct_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        self.resolve::<&'static Json>(flag_key, context)
    }
}
