//! Variants: which one of them an enabled toggle has.

use flagforge_flags::keys::VariantKey;
use flagforge_flags::wire::{
    Comparison, ConditionWire, OperatorName, OutcomeWire, RangeWire, SplitWire, TestWire,
    VariantWire,
};
use serde_json::Value as Json;

use super::constraint;
use super::strategy::Stickiness;
use crate::carry::{accepted, list, test, text, text_of, variant_key};
use crate::{Imported, Renamed};

/// Off: value `false`.
pub(crate) const OFF: &str = "disabled";
/// On without a variant, which Unleash's SDKs call `disabled` too.
pub(crate) const BARE: &str = "enabled";
/// On with a variant that only dice can tell.
pub(crate) const DRAWN: &str = "(drawn at random)";
/// Unleash's seed for variants: not 0, or a rollout and its variants would go together.
const SEED: u32 = 86_028_157;

/// The variants of one flag, each under a key of its own.
pub(crate) struct Variants {
    pub(crate) wires: Vec<VariantWire>,
    /// Unleash's name and the key here, of variants with value `true`.
    pub(crate) named: Vec<(String, VariantKey)>,
    pub(crate) off: VariantKey,
    pub(crate) bare: VariantKey,
    pub(crate) drawn: VariantKey,
}

impl Variants {
    pub(crate) fn new(flag: &str, imported: &mut Imported) -> Result<Self, String> {
        let (off, bare, drawn) = (variant_key(OFF)?, variant_key(BARE)?, variant_key(DRAWN)?);
        let of = |key: &VariantKey, on| VariantWire {
            key: key.clone(),
            value: Json::Bool(on),
            attachment: None,
        };
        let wires = vec![of(&off, false), of(&bare, true), of(&drawn, true)];
        imported.renamed.push(Renamed {
            flag: flag.to_owned(),
            variant: BARE.to_owned(),
            name: OFF.to_owned(),
        });
        Ok(Self { wires, named: Vec::new(), off, bare, drawn })
    }

    /// The key of a variant: the one there is, or a new one. Two variants with one name may carry other payloads.
    fn key(
        &mut self,
        flag: &str,
        variant: &Json,
        imported: &mut Imported,
    ) -> Result<VariantKey, String> {
        let name = text(variant, "name")?;
        let payload = variant.get("payload").filter(|payload| !payload.is_null());
        let same = |wire: &&VariantWire| wire.attachment.as_ref() == payload;
        let held = self
            .named
            .iter()
            .filter(|(held, _)| held == name)
            .find_map(|(_, key)| self.wires.iter().filter(same).find(|wire| wire.key == *key));
        if let Some(held) = held {
            return Ok(held.key.clone());
        }
        let place = self.wires.len();
        let key = VariantKey::new(name).ok();
        let key = key.filter(|key| self.wires.iter().all(|wire| wire.key != *key));
        let key = match key {
            Some(key) => key,
            None => {
                let key = variant_key(&format!("variant {place}"))?;
                let (variant, name) = (key.to_string(), name.to_owned());
                imported.renamed.push(Renamed { flag: flag.to_owned(), variant, name });
                key
            }
        };
        let attachment = payload.cloned();
        self.wires.push(VariantWire { key: key.clone(), value: Json::Bool(true), attachment });
        self.named.push((name.to_owned(), key.clone()));
        Ok(key)
    }

    /// What a strategy that lets the user in leads to: tried in order, under the strategy's condition.
    pub(crate) fn outcomes(
        &mut self,
        flag: &str,
        variants: &[Json],
        stickiness: Option<&str>,
        group: &str,
        imported: &mut Imported,
    ) -> Result<Vec<(ConditionWire, OutcomeWire)>, String> {
        let mut outcomes = Vec::new();
        let mut ranges: Vec<RangeWire> = Vec::new();
        let mut total: u32 = 0;
        for variant in variants {
            let key = self.key(flag, variant, imported)?;
            for entry in list(variant, "overrides")? {
                if let Some(when) = overridden(entry)? {
                    outcomes.push((when, OutcomeWire::Variant(key.clone())));
                }
            }
            let weight = variant.get("weight").and_then(Json::as_u64).unwrap_or_default();
            let until = u32::try_from(weight).ok().and_then(|weight| total.checked_add(weight));
            let until = until.ok_or("the variants' weights are too large")?;
            if until > total {
                ranges.push(RangeWire { from: total, until, variant: key });
            }
            total = until;
        }
        let stickiness = Stickiness::of(stickiness)?;
        let last = match (ranges.len(), stickiness.unit(group, SEED, total)) {
            (0, _) => OutcomeWire::Variant(self.bare.clone()),
            (1, _) => OutcomeWire::Variant(ranges.swap_remove(0).variant),
            (_, Some(by)) => {
                outcomes
                    .push((ConditionWire::Always, OutcomeWire::Split(SplitWire { by, ranges })));
                OutcomeWire::Variant(self.drawn.clone())
            }
            (_, None) => OutcomeWire::Variant(self.drawn.clone()),
        };
        outcomes.push((ConditionWire::Always, last));
        Ok(outcomes)
    }

    /// Keys of every variant that means "on".
    pub(crate) fn all_on(&self) -> Vec<VariantKey> {
        self.wires.iter().filter(|wire| wire.value == true).map(|wire| wire.key.clone()).collect()
    }
}

fn overridden(entry: &Json) -> Result<Option<ConditionWire>, String> {
    let path = constraint::path(text(entry, "contextName")?)?;
    let values = list(entry, "values")?.iter().filter_map(text_of).map(Json::String);
    let values: Vec<Json> = values.collect();
    if values.is_empty() {
        return Ok(None);
    }
    let one_of = test(&path, OperatorName::OneOf, values);
    accepted(TestWire { compare: Comparison::Text, ..one_of }).map(Some)
}
