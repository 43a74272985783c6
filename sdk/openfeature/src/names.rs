//! Keys of flags as the SDK holds them, which are constants of the code.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use flagforge_flags::keys::FlagKey;

/// Keys that a process can ask for through providers: each is kept for the life of the process, since hooks and reports of the SDK hold
/// it so. With 128 bytes each they come to a megabyte and a half at most. Ten times the flags that an environment usually has.
pub const MAX_NAMES: usize = 10_000;

static NAMES: RwLock<Option<HashSet<&'static str>>> = RwLock::new(None);

/// Why a key cannot be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// No flag can have this key.
    NoKey,
    /// There are [`MAX_NAMES`] others.
    TooMany,
}

/// The key, kept. What is no flag's key is not.
pub(crate) fn name(key: &str) -> Result<&'static str, Unnamed> {
    // A set that a panic left behind is still one of keys.
    let known = NAMES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = known.as_ref().and_then(|names| names.get(key)) {
        return Ok(name);
    }
    drop(known);
    FlagKey::new(key).map_err(|_| Unnamed::NoKey)?;
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    kept(names.get_or_insert_default(), key)
}

fn kept(names: &mut HashSet<&'static str>, key: &str) -> Result<&'static str, Unnamed> {
    // Another thread may have been here first.
    if let Some(name) = names.get(key) {
        return Ok(name);
    }
    if names.len() >= MAX_NAMES {
        return Err(Unnamed::TooMany);
    }
    let name: &'static str = Box::leak(key.to_owned().into_boxed_str());
    names.insert(name);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_once() {
        let first = name("kept.once").unwrap();
        assert!(std::ptr::eq(first, name(&["kept", "once"].join(".")).unwrap()));
        assert_eq!(name(""), Err(Unnamed::NoKey));
        assert_eq!(name(&"x".repeat(129)), Err(Unnamed::NoKey));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut names = HashSet::new();
        for at in 0..MAX_NAMES {
            kept(&mut names, &format!("flag-{at}")).unwrap();
        }
        assert_eq!(kept(&mut names, "one-more"), Err(Unnamed::TooMany));
        assert_eq!(kept(&mut names, "flag-7"), Ok("flag-7"));
    }
}
