//! Which table whom: what is done for one organization is done through hands that reach nothing of another's.

use std::sync::Arc;

use flagforge_flags::keys::OrgKey;

use super::Table;

/// Begins the partitions that are the installation's. `~` is in no slug, so no organization can own one.
const INSTALLATION: &str = "~#";

/// How far a table reaches that acts for one organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Its own partitions.
    Organization(OrgKey),
    /// Besides, the installation's list of organizations: for what its operator does to one.
    Operated(OrgKey),
}

impl Reach {
    /// The organization that it is about.
    pub fn org(&self) -> &OrgKey {
        match self {
            Self::Organization(org) | Self::Operated(org) => org,
        }
    }

    /// What the partition keys begin with that it reaches, and no others.
    pub fn prefixes(&self) -> Vec<String> {
        let own = format!("{}#", self.org());
        match self {
            Self::Organization(_) => vec![own],
            Self::Operated(_) => vec![own, INSTALLATION.to_owned()],
        }
    }
}

/// The tables that an installation's hands have. They show the same items; they differ in what they may reach, and
/// what one may not reach is [`super::TableError::Unavailable`].
pub trait Tables: Send + Sync + std::fmt::Debug {
    /// While nobody knows yet who asks, and for the list of organizations: reads organizations' own partitions
    /// (`<org>#`, where keys and people are) and the installation's, and need not be able to write.
    fn at_the_door(&self) -> Arc<dyn Table>;

    /// For one organization. Where credentials for it cannot be had, every use of it fails; nothing else steps in.
    fn within(&self, reach: &Reach) -> Arc<dyn Table>;
}

/// One table for everybody: the hands of one machine, where nothing could tell the difference.
#[derive(Debug, Clone)]
pub struct OneTable(pub Arc<dyn Table>);

impl Tables for OneTable {
    fn at_the_door(&self) -> Arc<dyn Table> {
        self.0.clone()
    }

    fn within(&self, _: &Reach) -> Arc<dyn Table> {
        self.0.clone()
    }
}
