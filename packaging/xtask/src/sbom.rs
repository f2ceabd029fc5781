//! What is linked into the programs, as `CycloneDX` 1.5 JSON: every crate with version, licence, checksum and what it needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::tools::Outcome;

/// The crates of which the programs are made.
const ROOTS: [&str; 2] = ["authd", "authctl"];

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// From what `cargo metadata` says and the lock file.
pub(crate) fn render(metadata: &Value, lock: &str) -> Outcome<String> {
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"]).map(|p| (text(p, "id"), p)).collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"]).map(|n| (text(n, "id"), n)).collect();
    let members: BTreeSet<&str> = list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let is_root =
        |id: &&str| members.contains(id) && packages.get(id).is_some_and(|p| ROOTS.contains(&text(p, "name")));
    let roots: Vec<&str> = packages.keys().copied().filter(is_root).collect();
    if roots.len() != ROOTS.len() {
        return Err("cargo metadata names other packages than authd and authctl".into());
    }

    let mut found = BTreeSet::new();
    let mut next = roots.clone();
    while let Some(id) = next.pop() {
        if found.insert(id) {
            next.extend(nodes.get(id).into_iter().flat_map(|node| linked(node)));
        }
    }
    let sums = checksums(lock)?;
    let reference = |id: &str| packages.get(id).map(|p| purl(p)).unwrap_or_default();
    let components: Vec<Value> = found
        .iter()
        .filter(|id| !roots.contains(id))
        .filter_map(|id| packages.get(id))
        .map(|p| component(p, &sums))
        .collect();
    let dependencies: Vec<Value> = found
        .iter()
        .filter_map(|id| nodes.get(id).map(|node| (id, node)))
        .map(|(id, node)| json!({ "ref": reference(id), "dependsOn": linked(node).map(reference).collect::<BTreeSet<_>>() }))
        .collect();
    let programs: Vec<Value> = roots
        .iter()
        .filter_map(|id| packages.get(id))
        .map(|p| json!({ "type": "application", "bom-ref": purl(p), "name": text(p, "name"), "version": text(p, "version") }))
        .collect();
    let sbom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application", "bom-ref": "authd-distribution", "name": crate::assets::PACKAGE,
            "version": env!("CARGO_PKG_VERSION"), "components": programs,
        }},
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string_pretty(&sbom)? + "\n")
}

/// What a crate is linked with: neither what only its tests nor what only its build script needs.
fn linked(node: &Value) -> impl Iterator<Item = &str> {
    let is_linked = |dep: &&Value| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null());
    list(&node["deps"]).filter(is_linked).map(|dep| text(dep, "pkg"))
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn component(package: &Value, sums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // Older crates write a stroke for "or".
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ").replace("  ", " ") }]);
    }
    if let Some(sum) = sums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

fn checksums(lock: &str) -> Outcome<BTreeMap<(String, String), String>> {
    let lock: toml::Table = lock.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock has no packages")?;
    let field =
        |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(ToOwned::to_owned);
    let entry = |p| Some(((field(p, "name")?, field(p, "version")?), field(p, "checksum")?));
    Ok(packages.iter().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_checksum_and_what_tests_need_is_not() {
        let dep = |pkg: &str, kind: Value| json!({ "pkg": pkg, "dep_kinds": [{ "kind": kind }] });
        let package = |id: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let metadata = json!({
            "packages": (["authd", "authctl", "sled", "insta", "cc", "log"].map(package)),
            "workspace_members": ["authd", "authctl"],
            "resolve": { "nodes": [
                { "id": "authd", "deps": [dep("sled", Value::Null), dep("insta", json!("dev")), dep("cc", json!("build"))] },
                { "id": "authctl", "deps": [] },
                { "id": "sled", "deps": [dep("log", Value::Null)] },
                { "id": "log", "deps": [] },
            ]},
        });
        let lock = "[[package]]\nname = \"sled\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let sbom: Value = serde_json::from_str(&render(&metadata, lock).unwrap()).unwrap();
        let names: Vec<&str> = list(&sbom["components"]).map(|c| text(c, "name")).collect();
        assert_eq!(names, ["log", "sled"]);
        assert_eq!(sbom["components"][1]["hashes"][0]["content"], "abc");
        assert_eq!(sbom["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(sbom["dependencies"].as_array().unwrap().len(), 4);
    }
}
