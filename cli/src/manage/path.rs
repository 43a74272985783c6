//! An address of the API: segments that are encoded, and what is asked of them.

use reqwest::Url;

use super::refusal::Failure;

/// Where a request goes, below an installation's address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path {
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
}

impl Path {
    pub(crate) fn of(segments: &[&str]) -> Self {
        Self::default().to(segments)
    }

    /// Further down.
    pub(crate) fn to(mut self, segments: &[&str]) -> Self {
        self.segments.extend(segments.iter().map(|segment| (*segment).to_owned()));
        self
    }

    pub(crate) fn ask(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Asks only what is said.
    pub(crate) fn ask_if<T: ToString>(self, name: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.ask(name, &value),
            None => self,
        }
    }

    /// The whole address.
    pub(crate) fn below(&self, base: &Url) -> anyhow::Result<Url> {
        // An address would lose them, and be that of something else.
        if let Some(odd) = self.segments.iter().find(|s| matches!(s.as_str(), "" | "." | "..")) {
            return Err(Failure::usage(format!("`{odd}` is the name of nothing")));
        }
        let mut url = base.clone();
        let no_base = |()| Failure::usage(format!("{base} is no address of an installation"));
        url.path_segments_mut().map_err(no_base)?.pop_if_empty().extend(&self.segments);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

#[test]
fn names_are_encoded_and_none_leads_elsewhere() {
    let base = Url::parse("https://flags.example.com/api/").unwrap();
    let path = Path::of(&["v1", "a/b c"]).ask("when", "x == 1 & y").ask_if("no", None::<&str>);
    let url = path.below(&base).unwrap();
    assert_eq!(url.as_str(), "https://flags.example.com/api/v1/a%2Fb%20c?when=x+%3D%3D+1+%26+y");
    for odd in ["", ".", ".."] {
        assert!(Path::of(&["v1", odd]).below(&base).is_err(), "{odd}");
    }
}
