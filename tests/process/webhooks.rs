//! The manual's examples, by which an application knows authd's calls: run as they stand, with good and bad calls.

use std::{fs, path::Path, process::Command};

use authd::webhook::Signer;
use serde_json::{Value, json};
use tests::{Application, shared::skipped};

const NOW: i64 = 1_800_000_000;

fn example(kind: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/manual/src/hooks-and-events.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- verify: {kind} -->\n```")).unwrap();
    rest.split_once('\n').unwrap().1.split_once("\n```").unwrap().0.to_owned()
}

/// Calls, and whether they are authd's.
fn cases() -> Vec<(Value, bool)> {
    let body = r#"{"type":"user.created","name":"Ada é"}"#;
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let sign = |secret: &str, at| Signer::from_text(&secret.into()).unwrap().sign("evt_1", at, body.as_bytes());
    let good = sign(Application::SECRET, NOW);
    let both = sign(&format!("{other}\n{}", Application::SECRET), NOW);
    let case = |id: &str, at: &str, signature: &str, body: &str| json!({"headers": {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature}, "body": body});
    let (now, late) = (NOW.to_string(), NOW - 301);
    vec![
        (case("evt_1", &now, &good, body), true),
        (case("evt_1", &now, &both, body), true),
        (case("evt_1", &(NOW - 300).to_string(), &sign(Application::SECRET, NOW - 300), body), true),
        (case("evt_1", &now, &sign(other, NOW), body), false),
        (case("evt_1", &now, &good, &body.replace("Ada", "Eve")), false),
        (case("evt_2", &now, &good, body), false),
        (case("evt_1", &(NOW + 1).to_string(), &good, body), false),
        (case("evt_1", &late.to_string(), &sign(Application::SECRET, late), body), false),
        (case("evt_1", &now, &good.replace("v1,", "v2,"), body), false),
        (case("evt_1", &now, &good[..good.len() - 4], body), false),
        (case("evt_1", &now, "", body), false),
        (case("evt_1", "soon", &good, body), false),
        (case("evt_1", "", &good, body), false),
        (json!({"headers": {}, "body": body}), false),
    ]
}

/// Runs a program on the cases; it prints a list of verdicts.
fn verdicts(program: &str, file: &Path) -> Value {
    let cases: Vec<Value> = cases().into_iter().map(|(case, _)| case).collect();
    let out = Command::new(program).arg(file).arg(Value::Array(cases).to_string()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
}

fn expected() -> Value {
    cases().into_iter().map(|(_, is_good)| is_good).collect()
}

#[test]
fn the_manuals_python_knows_authds_calls() {
    if !is_there("python3") {
        skipped("python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("verify.py");
    let harness = format!(
        "\n\nimport json, sys\ncases = json.loads(sys.argv[1])\nprint(json.dumps([is_from_authd({:?}, c['headers'], \
         c['body'].encode(), {NOW}) for c in cases]))\n",
        Application::SECRET
    );
    fs::write(&file, example("py") + &harness).unwrap();
    assert_eq!(verdicts("python3", &file), expected());
}

#[test]
fn the_manuals_typescript_knows_authds_calls() {
    if !is_there("node") {
        skipped("node");
        return;
    }
    // The types are taken out by hand: not every Node does that by itself.
    let typed = example("ts");
    let plain =
        [": string", ": Headers", ": number", ": boolean"].iter().fold(typed.clone(), |t, kind| t.replace(kind, ""));
    assert!(typed.contains("body: string") && plain.contains("(secret, headers, body, now = Date.now())"), "{plain}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("verify.mjs");
    let harness = format!(
        "\nconst cases = JSON.parse(process.argv[2]);\nconsole.log(JSON.stringify(cases.map((c) => isFromAuthd({:?}, new \
         Headers(c.headers), c.body, {NOW}000))));\n",
        Application::SECRET
    );
    fs::write(&file, plain + &harness).unwrap();
    assert_eq!(verdicts("node", &file), expected());
}
