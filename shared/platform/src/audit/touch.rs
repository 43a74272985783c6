//! Whom an entry is about, told by the places of what it wrote.

use flagforge_flags::keys::{FlagKey, TenantKey};

use crate::log::{Image, LogEntry};

/// What a sort key names: its kind and the keys in it.
fn parts(image: &Image) -> (&str, Vec<&str>) {
    let mut parts = image.sk.split('#');
    (parts.next().unwrap_or_default(), parts.collect())
}

fn tenant_of(image: &Image) -> Option<&str> {
    match parts(image) {
        ("TENANT", keys) => keys.first().copied(),
        // `MEMBER#<group>#<tenant>`, `OVERRIDE#<flag>#<tenant>`.
        ("MEMBER" | "OVERRIDE", keys) => keys.get(1).copied(),
        _ => None,
    }
}

fn flag_of(image: &Image) -> Option<&str> {
    match parts(image) {
        ("FLAG" | "DELETED-FLAG" | "STATE" | "OVERRIDE", keys) => keys.first().copied(),
        ("SCHEDULE" | "SCHEDULE-ENDED", _) => {
            image.body.as_ref().and_then(|body| body.get("flag")).and_then(|flag| flag.as_str())
        }
        _ => None,
    }
}

impl LogEntry {
    /// The change's type, say `set-enabled`.
    pub(crate) fn change_name(&self) -> &str {
        self.change.get("change").and_then(|name| name.as_str()).unwrap_or("unknown")
    }

    pub(crate) fn touches_flag(&self, flag: &FlagKey) -> bool {
        self.images.iter().any(|image| flag_of(image) == Some(flag.as_str()))
    }

    pub(crate) fn touches_tenant(&self, tenant: &TenantKey) -> bool {
        self.images.iter().any(|image| tenant_of(image) == Some(tenant.as_str()))
    }

    /// The tenants whom it touches, each once.
    pub(crate) fn tenants(&self) -> Vec<TenantKey> {
        let mut tenants: Vec<TenantKey> = self
            .images
            .iter()
            .filter_map(tenant_of)
            .filter_map(|key| TenantKey::new(key).ok())
            .collect();
        tenants.sort();
        tenants.dedup();
        tenants
    }

    /// Leaves out whatever is not this tenant's.
    pub(crate) fn keep_tenant(&mut self, tenant: &TenantKey) {
        self.images.retain(|image| tenant_of(image) == Some(tenant.as_str()));
    }
}
