//! Masking, and the way from a reference to a value.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::config::{Names, SecretAccess};
use crate::diagnostic::Place;
use crate::model::{
    ApplicationName, Cause, CommitSha, Dialect, ExecutionId, Pipeline, PipelineName, RepositoryName, SecretUse,
};

fn masker(values: &[&str]) -> Masker {
    let values: Vec<SecretString> = values.iter().map(|value| SecretString::from(*value)).collect();
    Masker::new(&values)
}

/// What comes out if a text is given in pieces of these lengths.
fn streamed(masker: &Masker, text: &[u8], mut length: impl FnMut() -> usize) -> Vec<u8> {
    let (mut stream, mut out, mut rest) = (masker.stream(), Vec::new(), text);
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(length().clamp(1, rest.len()));
        out.extend(stream.push(piece));
        rest = tail;
    }
    out.extend(stream.finish());
    out
}

#[test]
fn a_value_is_replaced_wherever_it_stands() {
    let masker = masker(&["hunter2-of-prod"]);
    assert_eq!(masker.mask("x hunter2-of-prod y hunter2-of-prodhunter2-of-prod."), "x *** y ******.");
    assert_eq!(masker.mask("hunter2-of-pro"), "hunter2-of-pro");
    assert_eq!(masker.mask("grün"), "grün");
}

/// The forms that real programs make, and not what this program thinks that they make.
#[test]
fn forms_that_other_programs_make_are_known() {
    let value = "pa ss/wo&rd+'\"ü<7>=%\\é-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-tail";
    let masker = masker(&[value]);
    let python = "import os,sys,json,base64,urllib.parse as u,html,shlex,binascii\nv=os.environ['V']\nb=v.encode()\n\
        print(json.dumps(v)); print(json.dumps({'a':v},ensure_ascii=False)); print(json.dumps(json.dumps(v)))\n\
        print(u.quote(v)); print(u.quote(v,safe='')); print(u.quote_plus(v)); print(u.urlencode({'t':v}))\n\
        print(html.escape(v)); print(binascii.hexlify(b).decode())\n\
        [print(base64.b64encode(p.encode()+b+s.encode()).decode()) for p in ('','u:','us:','usr:') for s in ('','x','xy','\\n')]\n\
        [print(base64.urlsafe_b64encode(p.encode()+b).decode()) for p in ('','u:','us:')]\n\
        print(base64.encodebytes(b).decode())\n";
    let Ok(output) = Command::new("python3").arg("-c").arg(python).env("V", value).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shell = "printf '%s\\n' \"$V\"; printf %s \"$V\" | base64; printf %s \"$V\" | base64 -w0; set -x; : \"$V\"";
    let shell = Command::new("sh").arg("-c").arg(shell).env("V", value).output().expect("a shell");
    for text in [output.stdout, shell.stdout, shell.stderr] {
        let masked = masker.mask(&String::from_utf8(text).expect("text"));
        for line in masked.lines().filter(|line| !line.is_empty()) {
            assert!(line.contains("***"), "{line}");
            // At most the letters that also depend on the neighbours are left.
            assert!(line.replace('*', "").len() <= 24, "{line}");
        }
    }
}

#[test]
fn a_key_is_hidden_line_by_line() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n  BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nshort\n-----END KEY-----\n";
    let masker = masker(&[key]);
    assert_eq!(masker.mask(&format!("<{key}>")), "<***>");
    assert_eq!(masker.mask(key.trim()), "***");
    assert_eq!(masker.mask("line: BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"), "line: ***");
    assert_eq!(masker.mask(&key.replace('\n', "\r\n")).matches("MIIEv").count(), 0);
    assert_eq!(
        masker.mask("-----BEGIN KEY----- short"),
        "-----BEGIN KEY----- short",
        "what every key has is no secret"
    );
    assert_eq!(masker.mask(&json!({"k": key}).to_string()), r#"{"k":"***"}"#);
}

#[test]
fn values_that_overlap_leave_nothing_between_them() {
    let masker = masker(&["abcdefgh", "efghijkl", "abcdefgh-and-more"]);
    assert_eq!(masker.mask("abcdefghijkl"), "***");
    assert_eq!(masker.mask("abcdefgh-and-more"), "***");
    assert_eq!(masker.mask("abcdefgh-and"), "***-and");
    for length in 1..14 {
        let text = b"<abcdefghijkl|abcdefgh-and-more|abcdefgh-and>";
        let shown = String::from_utf8(streamed(&masker, text, || length)).expect("text");
        assert_eq!(shown, "<***|***|***-and>", "{length}");
    }
}

#[test]
fn what_can_t_be_a_value_is_shown_at_once() {
    let masker = masker(&["hunter2-of-prod"]);
    let mut stream = masker.stream();
    assert_eq!(stream.push(b"ready> "), b"ready> ");
    assert_eq!(stream.push(b"what h"), b"what ");
    assert_eq!(stream.push(b"unter2"), b"");
    assert_eq!(stream.push(b"-of-prod? h"), b"***? ");
    assert_eq!(stream.finish(), b"h");
}

#[test]
fn short_and_empty_values_hide_nothing() {
    assert!(masker(&["", "   ", "abcde"]).is_empty());
    assert_eq!(Masker::default().mask("abc"), "abc");
    assert_eq!(streamed(&Masker::default(), b"abc", || 1), b"abc");
}

#[test]
fn documents_are_masked_with_their_keys() {
    let masker = masker(&["hunter2-of-prod", "12345678"]);
    let mut value = json!({"a": ["x hunter2-of-prod", 12_345_678, true], "hunter2-of-prod": {"b": null}});
    masker.mask_value(&mut value);
    assert_eq!(value, json!({"a": ["x ***", "***", true], "***": {"b": null}}));
}

#[test]
fn a_text_that_is_made_to_cost_a_lot_does_not() {
    let masker = masker(&[&("a".repeat(30_000) + "b")]);
    let text = vec![b'a'; 200_000];
    let shown = streamed(&masker, &text, || 50_000);
    assert_eq!(shown, text);
}

proptest! {
    /// However a text is cut, what comes out is what masking it at once gives, and no value is in it.
    #[test]
    fn pieces_make_no_difference(
        values in prop::collection::vec("[abc]{6,9}", 1..4),
        text in prop::collection::vec(prop_oneof![Just(None), (0_usize..4).prop_map(Some)], 0..30),
        filler in "[abcd]{0,8}",
        lengths in prop::collection::vec(1_usize..12, 1..40),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let masker = masker(&values);
        let text: String = text.iter().map(|part| part.and_then(|at| values.get(at)).map_or(filler.as_str(), |value| *value)).collect();
        let mut cut = lengths.iter().cycle();
        let shown = String::from_utf8(streamed(&masker, text.as_bytes(), || *cut.next().unwrap_or(&1))).expect("text");
        prop_assert_eq!(&shown, &masker.mask(&text));
        for value in values {
            prop_assert!(!shown.contains(value), "{} in {}", value, shown);
        }
    }
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a name")
}

/// An execution of `shop/deploy` for a commit of `acme/shop`'s branch `main`.
fn execution() -> NewExecution {
    let pipeline = Pipeline {
        application: ApplicationName::parse("shop").expect("a name"),
        name: PipelineName::parse("deploy").expect("a name"),
        id: Uuid::nil(),
        dialect: Dialect::Longboat,
        description: None,
        environment: None,
        parameters: Vec::new(),
        triggers: Vec::new(),
        expected_artifacts: Vec::new(),
        concurrency: None,
        start_expiry: None,
        timeout: None,
        stages: Vec::new(),
        source: Place::point("deploy.yaml", 1, 1),
    };
    NewExecution {
        id: ExecutionId::generate(),
        pipeline,
        revision: None,
        parameters: Map::new(),
        trigger: Cause { kind: CauseKind::Git, branch: Some("main".to_owned()), ..Cause::default() },
        repository: Some(RepositoryName::parse("acme/shop").expect("a name")),
        commit: Some(CommitSha::parse(&"1a".repeat(20)).expect("an id")),
        report: None,
        artifacts: crate::model::Artifacts::default(),
        correlation_id: None,
        created_at: Timestamp::from_millis(0),
    }
}

/// Yields `value-1-of-it`, `value-2-of-it`, ...
#[derive(Default)]
struct Rotating(AtomicUsize);

#[async_trait]
impl SecretSource for Rotating {
    fn describe(&self) -> String {
        "the vault".to_owned()
    }

    async fn fetch(&self) -> Result<SecretString, SourceError> {
        Ok(SecretString::from(format!("value-{}-of-it", self.0.fetch_add(1, Ordering::SeqCst) + 1)))
    }
}

fn only(patterns: &[&str]) -> Option<Names> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Some(Names::parse(&patterns).expect("patterns"))
}

fn of_file(path: &std::path::Path, access: SecretAccess) -> Secrets {
    let secret = Secret { source: SecretPlace::File(path.to_owned()), access };
    Secrets::of(&IndexMap::from([(name("token"), secret)]), vec![SecretString::from("forge-token-1")])
}

fn used(pointer: &str, start: usize) -> SecretUse {
    SecretUse { pointer: pointer.to_owned(), name: name("token"), start, end: start + "***token***".len() }
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("a mapping")
}

#[tokio::test]
async fn values_take_the_places_that_were_recorded_and_no_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cr3t-value\n").expect("written");
    let secrets = of_file(&file, SecretAccess::default());
    // What looks like a reference came out of somebody's data.
    let given = fields(json!({"env": {"A": "***token*** ***token***/***token***", "B": "***token***"}}));
    let uses = [used("/env/A", 12), used("/env/A", 24)];
    let revealed = secrets.reveal(&execution(), &given, &uses).await.expect("revealed");
    assert_eq!(revealed.text("/env/A"), Some("***token*** s3cr3t-value/s3cr3t-value"));
    assert_eq!(revealed.text("/env/B"), Some("***token***"));
    assert!(revealed.is_secret("/env/A") && !revealed.is_secret("/env/B"));
    assert_eq!(revealed.masker().mask("s3cr3t-value forge-token-1"), "*** ***", "the server's own are masked, too");
    let shown = format!("{revealed:?} {:?} {secrets:?} {:?}", revealed.masker(), revealed.masker().stream());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn a_place_that_doesn_t_hold_the_reference_is_refused() {
    let secrets = Secrets::with_sources(
        IndexMap::from([(name("token"), Arc::new(Rotating::default()) as Arc<dyn SecretSource>)]),
        SecretRules::new(&IndexMap::from([(
            name("token"),
            Secret { source: SecretPlace::Env(String::new()), access: SecretAccess::default() },
        )])),
        Vec::new(),
    );
    let given = fields(json!({"env": {"A": "ü***token***", "B": 7}}));
    for uses in [used("/env/A", 1), used("/env/A", 3), used("/env/B", 0), used("/env/C", 0)] {
        let error = secrets.reveal(&execution(), &given, &[uses]).await.expect_err("refused");
        assert!(error.to_string().contains("has lost its place"), "{error}");
    }
    // A value that changes counts from the next use on, and the ones before stay hidden.
    let text = |revealed: &Revealed| revealed.text("/env/A").expect("a text").to_owned();
    let first = text(&secrets.reveal(&execution(), &given, &[used("/env/A", 2)]).await.expect("revealed"));
    let second = text(&secrets.reveal(&execution(), &given, &[used("/env/A", 2)]).await.expect("revealed"));
    assert_ne!(first, second);
    assert_eq!(secrets.masker().mask(&format!("{first} {second}")), "ü*** ü***");
}

#[tokio::test]
async fn a_source_without_a_value_is_named_and_no_value_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    let secrets = of_file(&file, SecretAccess::default());
    let says =
        async || secrets.fetch(&name("token"), &execution()).await.map(|_| ()).expect_err("no value").to_string();
    assert_eq!(says().await, format!("the secret `token` is missing: the file {} is not set", file.display()));
    for (content, part) in [
        (b"\n".as_slice(), "is empty"),
        (b"abc", "shorter than 6 bytes"),
        (b"abcdef\0", "zero byte"),
        (b"abcdef\xff", "not UTF-8"),
    ] {
        std::fs::write(&file, content).expect("written");
        let said = says().await;
        assert!(said.contains(part) && !said.contains("abc"), "{said}");
    }
    std::fs::write(&file, "x".repeat(65 * 1024)).expect("written");
    assert!(says().await.contains("larger than 64 KiB"));
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("made");
    assert!(says().await.contains("not a plain file"));
}

#[test]
fn rules_are_asked_for_repository_application_and_branch() {
    let path = std::path::Path::new("/nowhere");
    let says = |access: SecretAccess, execution: &NewExecution| {
        of_file(path, access).check(&name("token"), execution).map_err(|error| error.to_string())
    };
    let plain = execution();
    assert_eq!(says(SecretAccess::default(), &plain), Ok(()));
    let all = SecretAccess {
        repositories: only(&["acme/*"]),
        applications: only(&["shop"]),
        branches: only(&["release/*", "main"]),
    };
    assert_eq!(says(all, &plain), Ok(()));
    for (access, said) in [
        (
            SecretAccess { repositories: only(&["acme/shop-infra", "*"]), ..SecretAccess::default() },
            "the secret `token` is not for the repository acme/shop",
        ),
        (
            SecretAccess { applications: only(&["bank"]), ..SecretAccess::default() },
            "the secret `token` is not for the application `shop`",
        ),
        (
            SecretAccess { branches: only(&["release/*"]), ..SecretAccess::default() },
            "the secret `token` is not for the branch `main`",
        ),
        (
            SecretAccess { branches: only(&[]), ..SecretAccess::default() },
            "the secret `token` is not for the branch `main`",
        ),
    ] {
        assert_eq!(says(access, &plain), Err(said.to_owned()));
    }
    let error = of_file(path, SecretAccess::default()).check(&name("tokn"), &plain).expect_err("unknown").to_string();
    assert_eq!(error, "there is no secret `tokn`");
}

/// Anybody can open a pull request; whoever starts its commit by hand must not hand it the secrets.
#[test]
fn a_commit_that_is_on_no_branch_gets_none() {
    let path = std::path::Path::new("/nowhere");
    let mut stray = execution();
    stray.trigger = Cause { kind: CauseKind::Manual, ..Cause::default() };
    let error = of_file(path, SecretAccess::default()).check(&name("token"), &stray).expect_err("refused");
    assert_eq!(error, SecretError::Homeless(name("token")));
    let limited = SecretAccess { branches: only(&["**"]), ..SecretAccess::default() };
    let error = of_file(path, limited.clone()).check(&name("token"), &stray).expect_err("refused").to_string();
    assert!(error.contains("it isn't known that the commit is on one of them"), "{error}");
    stray.trigger.tag = Some("v1".to_owned());
    assert_eq!(of_file(path, SecretAccess::default()).check(&name("token"), &stray), Ok(()));
    assert!(of_file(path, limited).check(&name("token"), &stray).is_err(), "a tag is no branch");
}
