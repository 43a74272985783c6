//! Whoever hears of answers: hooks, reports and metrics, all off unless the host asks for them.

use std::fmt;
use std::sync::Arc;

use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::ScopeId;
use flagforge_flags::wire::ValueType;
use flagforge_flags::{Context, Value};

use crate::details::Details;
use crate::flag::DefaultValue;
use crate::flags::Basis;
use crate::hook::{Hook, Refused};
use crate::metrics;
use crate::report::{Recorder, Reporting, Reports};
use crate::shared::Shared;

/// What was asked, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    pub(crate) flag: &'static str,
    pub(crate) default: DefaultValue,
    pub(crate) scope: &'q ScopeId,
    pub(crate) context: &'q Context<'q>,
    pub(crate) basis: &'q Basis,
}

impl<'q> Question<'q> {
    /// The flag's key.
    pub const fn flag(&self) -> &'static str {
        self.flag
    }

    /// The type that the caller wants.
    pub const fn value_type(&self) -> ValueType {
        self.default.value_type()
    }

    /// What the caller gets where there is no answer.
    pub const fn default(&self) -> DefaultValue {
        self.default
    }

    /// The environment that is asked.
    pub const fn scope(&self) -> &'q ScopeId {
        self.scope
    }

    /// The tenant; `None` where none asks.
    pub fn tenant(&self) -> Option<&'q TenantKey> {
        self.context.tenant()
    }

    /// The user's key.
    pub fn user(&self) -> Option<&'q str> {
        self.context.user_key()
    }

    /// What the answer is based on.
    pub const fn basis(&self) -> &'q Basis {
        self.basis
    }

    /// OpenTelemetry's `feature_flag.set.id`: the organization and environment.
    pub(crate) fn set(&self) -> impl fmt::Display {
        SetId(self.scope)
    }
}

pub(crate) struct SetId<'s>(pub(crate) &'s ScopeId);

impl fmt::Display for SetId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.org, self.0.env)
    }
}

/// What a host asked for, before the client starts.
#[derive(Default)]
pub(crate) struct Observing {
    hooks: Vec<Box<dyn Hook>>,
    reports: Option<Reports>,
    metrics: bool,
}

impl Observing {
    pub(crate) fn hook(&mut self, hook: impl Hook) {
        self.hooks.push(Box::new(hook));
    }

    pub(crate) fn report(&mut self, reports: Reports) {
        self.reports = Some(reports);
    }

    #[cfg(feature = "metrics")]
    pub(crate) const fn metrics(&mut self) {
        self.metrics = true;
    }

    /// Who hears of answers, if anybody does, and the task that reports them.
    pub(crate) fn begin(self) -> (Option<Observers>, Option<Reporting>) {
        let (recorder, reporting) = self.reports.and_then(Reports::begin).unzip();
        let (hooks, metrics) = (self.hooks, self.metrics);
        let somebody = !hooks.is_empty() || recorder.is_some() || metrics;
        (somebody.then_some(Observers { hooks, recorder, metrics }), reporting)
    }
}

pub(crate) struct Observers {
    hooks: Vec<Box<dyn Hook>>,
    recorder: Option<Arc<Recorder>>,
    pub(crate) metrics: bool,
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("hooks", &self.hooks.len()).finish_non_exhaustive()
    }
}

impl Observers {
    /// Answers a question with everybody hearing of it.
    pub(crate) fn ask<'f>(
        &self,
        question: &Question<'f>,
        shared: &Shared,
        evaluate: impl FnOnce() -> Details<'f, Option<&'f Value>>,
    ) -> Details<'f, Option<&'f Value>> {
        let details = self
            .evaluated(question, evaluate)
            .unwrap_or_else(|refused| Details::refused(refused, question.basis));
        if let Some(error) = &details.error {
            self.hooks.iter().rev().for_each(|hook| hook.error(question, error));
        }
        self.hooks.iter().rev().for_each(|hook| hook.finally(question, &details));
        if let Some(recorder) = &self.recorder {
            recorder.note(question, &details);
        }
        if self.metrics {
            metrics::answered(question, &details, shared);
        }
        details
    }

    fn evaluated<'f>(
        &self,
        question: &Question<'f>,
        evaluate: impl FnOnce() -> Details<'f, Option<&'f Value>>,
    ) -> Result<Details<'f, Option<&'f Value>>, Refused> {
        self.hooks.iter().try_for_each(|hook| hook.before(question))?;
        let details = evaluate();
        if details.error.is_none() {
            self.hooks.iter().rev().try_for_each(|hook| hook.after(question, &details))?;
        }
        Ok(details)
    }
}
