//! Manifests looked at without a control plane: over HTTP, and in a folder.

use std::fs;

use crate::installation::Installation;

#[test]
fn a_manifest_is_shown_verified_and_compared() {
    let installation = Installation::start(&["--demo"]);
    let t = installation.terminal("prod");
    let said = installation.said();
    let http = said.split_whitespace().find(|word| word.starts_with("flagforge+http://")).unwrap();
    let roots = http.split_once("roots=").unwrap().1;
    let folder = installation.file("objects");
    let of = |folder: &std::path::Path, env: &str| {
        format!("'flagforge+file://{}?org=demo&env={env}&roots={roots}'", folder.display())
    };
    let shown = t.ok(&format!("manifest show '{http}'"));
    assert!(shown.contains("scope: demo/prod/environment"), "{shown}");
    assert!(shown.contains("held: none") && shown.contains("stale: no"), "{shown}");
    let verified = t.ok(&format!("manifest verify {}", of(&folder, "prod")));
    assert!(verified.contains("spoilt: none") && verified.contains("tenants: "), "{verified}");
    assert_eq!(
        shown.lines().find(|l| l.starts_with("revision")),
        verified.lines().find(|l| l.starts_with("revision"))
    );

    let same = t.json(&format!("manifest diff '{http}' {}", of(&folder, "prod")));
    assert_eq!(same["changed"], serde_json::json!({}));
    t.ok("flag off new-dashboard --reason 'a test' --env staging");
    let other =
        t.json(&format!("manifest diff {} {}", of(&folder, "prod"), of(&folder, "staging")));
    let changed = other["changed"]["new-dashboard"].as_array().unwrap();
    assert!(changed.contains(&"enabled".into()), "{other}");

    // One bit of one chunk.
    let chunks = folder.join("demo/chunks");
    let chunk = fs::read_dir(&chunks).unwrap().flatten().map(|entry| entry.path());
    for path in chunk.filter(|path| path.is_file()) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let refused = t.fails(&format!("manifest verify {}", of(&folder, "prod")), 1);
    assert!(refused.contains("an SDK would refuse it"), "{refused}");
    let strangers = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";
    let refused =
        t.fails(&format!("manifest show {}", of(&folder, "prod").replace(roots, strangers)), 1);
    assert!(refused.contains("needed by the pinned roots"), "{refused}");
}
