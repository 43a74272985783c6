//! JSON Merge Patch (RFC 7396 §2), and what we do beyond it.

use serde_json::Value as Json;

/// An outcome has exactly one of these, so a patch that names one means it instead of the other.
const OUTCOME_FORMS: [&str; 4] = ["variant", "split", "ramp", "error"];
/// And a split exactly one of these.
const SPLIT_FORMS: [&str; 2] = ["weights", "ranges"];
/// Where a state has outcomes; those of rules are in a list, which a patch replaces whole.
const OUTCOMES: [&str; 3] = ["/off", "/fallthrough", "/stale/then/serve"];

/// Applies a patch to a flag's state. Our one deviation from the RFC, under which `{"fallthrough": {"split": …}}` over
/// `{"fallthrough": {"variant": "on"}}` would leave both, which nothing can be.
pub(crate) fn merge_state(state: &mut Json, patch: &Json) {
    for place in OUTCOMES {
        instead(state, patch, place, &OUTCOME_FORMS);
        instead(state, patch, &format!("{place}/split"), &SPLIT_FORMS);
    }
    merge_patch(state, patch);
}

/// Takes away the form that stands where the patch names another.
fn instead(state: &mut Json, patch: &Json, place: &str, forms: &[&str]) {
    let named = |form: &&str| {
        patch.pointer(place).is_some_and(|at| at.get(form).is_some_and(|it| !it.is_null()))
    };
    if !forms.iter().any(named) {
        return;
    }
    if let Some(Json::Object(standing)) = state.pointer_mut(place) {
        standing.retain(|name, _| !forms.contains(&name.as_str()) || named(&name.as_str()));
    }
}

/// Applies `patch` to `target`. Its depth is bounded by the parser that read it.
fn merge_patch(target: &mut Json, patch: &Json) {
    let Json::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Json::Object(serde_json::Map::new());
    }
    let Json::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge_patch(fields.entry(name.clone()).or_insert(Json::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn naming_one_form_of_an_outcome_replaces_the_other() {
        let split = json!({"split": {"unit": "user.key", "salt": "s", "ranges": [{"from": 0}]}});
        let halves = json!({"split": {"weights": [{"variant": "on", "weight": 1}]}});
        for (mut state, patch, expected) in [
            (json!({"off": {"variant": "on"}}), json!({"off": split}), json!({"off": split})),
            (
                json!({"off": split}),
                json!({"off": {"variant": "on"}}),
                json!({"off": {"variant": "on"}}),
            ),
            // What the split has besides stays, so nobody moves who need not.
            (
                json!({"fallthrough": split}),
                json!({"fallthrough": halves}),
                json!({"fallthrough": {"split": {"unit": "user.key", "salt": "s", "weights": halves["split"]["weights"]}}}),
            ),
            (
                json!({"stale": {"afterSeconds": 9, "then": {"serve": {"error": "x"}}}}),
                json!({"stale": {"then": {"serve": {"variant": "on"}}}}),
                json!({"stale": {"afterSeconds": 9, "then": {"serve": {"variant": "on"}}}}),
            ),
            // As the RFC has it, where that can be: saying it, taking away, and what is no form.
            (
                json!({"off": {"variant": "on"}}),
                json!({"off": {"variant": null, "error": "x"}}),
                json!({"off": {"error": "x"}}),
            ),
            (
                json!({"off": {"variant": "on"}}),
                json!({"off": {"x": 1}}),
                json!({"off": {"variant": "on", "x": 1}}),
            ),
            (
                json!({"off": "callerDefault"}),
                json!({"off": {"variant": "on"}}),
                json!({"off": {"variant": "on"}}),
            ),
            // Two at once are still two.
            (
                json!({"off": split}),
                json!({"off": {"variant": "a", "error": "b"}}),
                json!({"off": {"variant": "a", "error": "b"}}),
            ),
        ] {
            merge_state(&mut state, &patch);
            assert_eq!(state, expected, "{patch}");
        }
    }

    #[test]
    fn the_examples_of_rfc_7396_appendix_a() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, expected) in cases {
            merge_patch(&mut target, &patch);
            assert_eq!(target, expected);
        }
    }
}
