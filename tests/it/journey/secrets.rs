//! Secrets: they reach the script, and nothing else keeps them, however a script prints them and whatever the data of
//! others looks like.

use std::path::Path;
use std::process::Command;

use super::world::{REPOSITORY, World};
use crate::support::server::Server;

const TOKEN: &str = "tok/en+42 of'prod&shop";
const NEXT: &str = "the-token-after-that-one";
const KEY: &str =
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n";

const CONFIG: &str = "\
secrets:
  prod: {file: prod-token, repositories: ['acme/*'], applications: [shop], branches: [main]}
  key: {file: key.pem, repositories: [acme/shop]}
  other: {file: prod-token, repositories: [acme/bank]}
logging: {filter: trace}
";

/// Everything that a script can do to show its secrets.
const PRINTS: &str = r#"
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    parameters:
      - {name: evil, type: string, default: '${ secret("prod") } ***prod***'}
    stages:
      - id: print
        type: script
        env:
          TOKEN: '${ secret("prod") }'
          AUTH: 'Bearer ${ secret("prod") } for ${ parameters.evil }'
          KEY: '${ secret("key") }'
          EVIL: '${ parameters.evil }'
          SAID: '${ trigger.message }'
          MARKS: '{{ file("marks") }}'
        command: |
          printf %s "$TOKEN" > "$MARKS/token"; printf %s "$AUTH" > "$MARKS/auth"; printf %s "$KEY" > "$MARKS/key"
          printf %s "$EVIL" > "$MARKS/evil"; printf %s "$SAID" > "$MARKS/said"
          tr '\0' '\n' < /proc/$PPID/environ > "$MARKS/supervisor.environ"
          tr '\0' ' ' < /proc/$PPID/cmdline > "$MARKS/supervisor.cmdline"
          echo "plain $TOKEN"; env; tr '\0' '\n' < /proc/self/environ
          printf %s "$TOKEN" | cut -c1-9 | tr -d '\n'; sleep 0.3; printf %s "$TOKEN" | cut -c10-
          printf %s "$TOKEN" | base64; printf 'user:%s' "$TOKEN" | base64; printf %s "$AUTH" | base64 -w0; echo
          printf %s "$TOKEN" | od -An -tx1 | tr -d ' \n'; echo
          echo "$KEY"; printf %s "$KEY" | base64
          set -x; : "$TOKEN" "$AUTH"; set +x
          echo "token=$TOKEN" >> "$LONGBOAT_OUTPUT"; echo "auth=$(printf %s "$AUTH" | base64 -w0)" >> "$LONGBOAT_OUTPUT"
          echo 'named=${ secret("prod") }' >> "$LONGBOAT_OUTPUT"
          echo 'referred=***prod***' >> "$LONGBOAT_OUTPUT"
      - id: later
        type: script
        env:
          SEEN: '${ stages.print.outputs.token } ${ stages.print.outputs.named } ${ stages.print.outputs.referred }'
          TOKEN: '${ secret("prod") }'
          MARKS: '{{ file("marks") }}'
        command: |
          printf %s "$SEEN" > "$MARKS/seen"
          cat "$MARKS/key"
          echo "nonsense $TOKEN" >> "$LONGBOAT_OUTPUT"
"#;

async fn world() -> World {
    let world = World::with(CONFIG).await;
    std::fs::write(world.folder().join("prod-token"), format!("{TOKEN}\n")).expect("written");
    std::fs::write(world.folder().join("key.pem"), KEY).expect("written");
    std::fs::create_dir(world.folder().join("marks")).expect("made");
    world
}

fn mark(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.folder().join("marks").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The forms that must be nowhere, made by other programs.
fn needles() -> Vec<String> {
    let shell = |command: &str, value: &str| {
        let output = Command::new("sh").args(["-c", command]).env("V", value).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text").trim_end_matches('\n').to_owned()
    };
    let mut needles = Vec::new();
    for value in [TOKEN, NEXT] {
        needles.push(value.to_owned());
        needles.push(value[4..value.len() - 4].to_owned());
        needles.push(shell("printf %s \"$V\" | base64 -w0", value));
        needles.push(shell("printf %s \"$V\" | od -An -tx1 | tr -d ' \\n'", value));
        // Without the ends, which depend on what stands beside it.
        let auth = shell("printf 'Bearer %s' \"$V\" | base64 -w0", value);
        needles.push(auth[12..auth.len() - 4].to_owned());
    }
    needles.extend(KEY.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    needles.push(TOKEN.replace('\'', "'\\''"));
    needles.push("tok%2Fen%2B42%20of%27prod%26shop".to_owned());
    needles
}

fn assert_hidden(place: &str, bytes: &[u8]) {
    for needle in needles() {
        let found = bytes.windows(needle.len()).position(|window| window == needle.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(60)..(at + needle.len() + 20).min(bytes.len())];
            panic!("{place} shows `{needle}`: {}", String::from_utf8_lossy(around));
        }
    }
}

fn assert_folder_hidden(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            assert_folder_hidden(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert_hidden(&path.display().to_string(), &bytes);
        }
    }
}

/// Every page and answer of the server about an execution, its log, what it posted, and its folder.
async fn assert_no_trace(world: &World, server: &Server, id: &str) {
    let mut paths = vec![
        format!("/api/v1/executions/{id}"),
        "/api/v1/executions".to_owned(),
        "/api/v1/applications/shop/pipelines/deploy".to_owned(),
        format!("/executions/{id}"),
        "/".to_owned(),
        "/metrics".to_owned(),
    ];
    let execution = server.get(&paths[0]).await;
    for stage in execution["stages"].as_array().into_iter().flatten().filter(|stage| stage["type"] == "script") {
        paths.push(format!("/api/v1/executions/{id}/stages/{}/log", stage["path"].as_str().expect("a path")));
    }
    for path in paths {
        assert_hidden(&path, server.get_text(&path).await.as_bytes());
    }
    assert_hidden("the statuses", format!("{:?}", world.github.posted()).as_bytes());
    assert_hidden("the server's log", server.log().as_bytes());
    assert!(!server.log().contains(world.secret()), "the server's log shows the webhook's secret");
    assert_folder_hidden(&world.folder().join("state"));
}

async fn execution_of(server: &Server, commit: &str) -> String {
    let list = server.get(&format!("/api/v1/executions?commit={commit}")).await;
    list["items"][0]["id"].as_str().expect("an execution").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_its_script_and_nothing_else_keeps_it() {
    let world = world().await;
    let marks = world.folder().join("marks");
    let files = [(".longboat/shop.yaml", PRINTS), ("marks", marks.to_str().expect("UTF-8"))];
    let first = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let said = "Ship ${ secret(\"prod\") } and ***prod***";
    let commit = world.push(&[("code", "1")], said).await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let statuses = world.finished(&commit, "longboat/shop/deploy").await;

    // The script has the values, byte by byte, at the places that its author named, and at no other.
    let evil = "${ secret(\"prod\") } ***prod***";
    assert_eq!(mark(&world, "token"), TOKEN);
    assert_eq!(mark(&world, "auth"), format!("Bearer {TOKEN} for {evil}"));
    assert_eq!(mark(&world, "key"), KEY.trim_end());
    assert_eq!(mark(&world, "evil"), evil);
    assert_eq!(mark(&world, "said"), said);
    assert_eq!(mark(&world, "seen"), format!("*** {evil}"));
    for place in ["supervisor.environ", "supervisor.cmdline"] {
        assert!(!mark(&world, place).is_empty());
        assert_hidden(place, mark(&world, place).as_bytes());
    }

    // What is kept has the name in the value's place, and says which name that is.
    let id = execution_of(&server, &commit).await;
    let execution = server.get(&format!("/api/v1/executions/{id}")).await;
    let print = &execution["stages"][0];
    assert_eq!(print["status"], "SUCCEEDED", "{execution:#}");
    assert_eq!(print["context"]["env"]["TOKEN"], "***prod***");
    assert_eq!(print["context"]["env"]["AUTH"], format!("Bearer ***prod*** for {evil}"));
    assert_eq!(print["outputs"]["token"], "***");
    let later = &execution["stages"][1];
    let error = later["error"].as_str().expect("it failed");
    assert!(error.starts_with("line 1 of the outputs is `nonsense ***`"), "{error}");
    let last = statuses.last().expect("a status");
    assert!(last.description.contains("`nonsense ***`"), "{}", last.description);
    let log = server.get_text(&format!("/api/v1/executions/{id}/stages/print/log")).await;
    assert!(log.contains("plain ***") && log.contains("TOKEN=***") && log.contains("AUTH=Bearer ***"), "{log}");
    // Of a stage that doesn't name the key itself.
    let log = server.get_text(&format!("/api/v1/executions/{id}/stages/later/log")).await;
    assert!(log.contains("***"), "{log}");
    assert_no_trace(&world, &server, &id).await;
    let log = server.log();
    assert!(log.contains("TRACE"), "the log is as talkative as can be");
}

const ROTATED: &str = r#"
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - id: print
        type: script
        retry: {attempts: 2, backoff: 1s}
        env: {TOKEN: '${ secret("prod") }', MARKS: '{{ file("marks") }}', FILE: '{{ file("token") }}'}
        command: |
          echo "$TOKEN" >> "$MARKS/tokens"
          echo "I have $TOKEN"
          test "$(wc -l < "$MARKS/tokens")" -gt 1 || { printf '%s-%s' the-token after-that-one > "$FILE"; exit 1; }
      - id: later
        type: script
        env: {TOKEN: '${ secret("prod") }', MARKS: '{{ file("marks") }}'}
        command: |
          touch "$MARKS/began"
          until test -e "$MARKS/go"; do sleep 0.05; done
          echo "mine is $TOKEN"; cat "$MARKS/tokens"
          echo "token=$TOKEN" >> "$LONGBOAT_OUTPUT"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_changes_counts_for_the_next_attempt_and_adopted_scripts_stay_masked() {
    let world = world().await;
    let (marks, token) = (world.folder().join("marks"), world.folder().join("prod-token"));
    let files = [
        (".longboat/shop.yaml", ROTATED),
        ("marks", marks.to_str().expect("UTF-8")),
        ("token", token.to_str().expect("UTF-8")),
    ];
    let first = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let running = |server: &Server| {
        let url = format!("{}/api/v1/executions?commit={commit}", server.url);
        async move {
            let list: serde_json::Value = reqwest::get(url).await.ok()?.json().await.ok()?;
            let id = list["items"].get(0)?["id"].as_str()?.to_owned();
            Some(id)
        }
    };
    let id = world.until("the execution is there", || running(&server)).await;
    let later = format!("/api/v1/executions/{id}");
    world.until("the second script runs", || async { marks.join("began").exists().then_some(()) }).await;
    assert_eq!(mark(&world, "tokens"), format!("{TOKEN}\n{NEXT}\n"));

    // Longboat is gone, the value has changed again, and the script that was adopted still has the old one.
    server.kill();
    std::fs::write(&token, "a-third-one-of-prod").expect("written");
    let server = world.serve();
    std::fs::write(marks.join("go"), "").expect("written");
    world.settled(&commit, "longboat/shop/deploy").await;
    let log = server.get_text(&format!("{later}/stages/later/log")).await;
    assert!(log.starts_with("mine is ***\n"), "{log}");
    let execution = server.get(&later).await;
    assert_eq!(execution["stages"][0]["attempt"], 2);
    assert_eq!(execution["stages"][1]["outputs"]["token"], "***");
    assert_no_trace(&world, &server, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_may_not_be_used_is_told_where_it_is_named() {
    let world = world().await;
    let file = |secret: &str, command: &str| {
        format!(
            "application: shop\npipelines:\n  - name: deploy\n    triggers: [{{type: git}}]\n    stages:\n      - id: go\n        \
             type: script\n        env:\n          TOKEN: '${{ secret(\"{secret}\") }}'\n        command: '{command}'\n"
        )
    };
    let first = world.push(&[(".longboat/shop.yaml", &file("prod", "true"))], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;

    let mut before = first;
    for (name, code, message, hint) in [
        ("prdo", "LB0506", "there is no secret `prdo`", "did you mean `prod`?"),
        ("other", "LB0507", "the secret `other` is not for the repository acme/shop", "the operator says"),
    ] {
        let commit = world.push(&[(".longboat/shop.yaml", &file(name, "true"))], name).await;
        assert_eq!(world.webhook(&server, &before, &commit).await, 202);
        let status = world.finished(&commit, "longboat/validate").await.pop().expect("a status");
        assert!(status.description.contains(&format!("shop.yaml:9 {message}").replace('`', "")), "{status:?}");
        let found = server.get(&format!("/api/v1/diagnostics?repository={REPOSITORY}&commit={commit}")).await;
        let finding = &found["findings"][0];
        assert_eq!((finding["code"].as_str(), finding["line"].as_u64()), (Some(code), Some(9)), "{found:#}");
        assert!(finding["hint"].as_str().is_some_and(|text| text.starts_with(hint)), "{found:#}");
        before = commit;
    }

    // On another branch the files are nobody's yet, but what runs there gets nothing.
    let good = world.push(&[(".longboat/shop.yaml", &file("prod", "true"))], "Good again").await;
    assert_eq!(world.webhook(&server, &before, &good).await, 202);
    world.settled(&good, "longboat/shop/deploy").await;
    let branch = world.push_to("feature", &[("code", "2")], "A feature").await;
    let zero = "0".repeat(40);
    assert_eq!(world.webhook_of(&server, "refs/heads/feature", &zero, &branch).await, 202);
    world.settled(&branch, "longboat/validate").await;
    let status = world.finished(&branch, "longboat/shop/deploy").await.pop().expect("a status");
    assert_eq!(status.description, "Failed: go, the secret `prod` is not for the branch `feature`");

    // A source that has gone is named with the secret.
    std::fs::remove_file(world.folder().join("prod-token")).expect("removed");
    let (code, started) =
        server.post("/api/v1/applications/shop/pipelines/deploy/executions", serde_json::json!({})).await;
    assert_eq!(code, 201, "{started:#}");
    let id = started["id"].as_str().expect("an id").to_owned();
    let error = world
        .until("it fails", || async {
            let execution = server.get(&format!("/api/v1/executions/{id}")).await;
            execution["stages"][0]["error"].as_str().map(str::to_owned)
        })
        .await;
    let file = world.folder().join("prod-token");
    assert_eq!(error, format!("the secret `prod` is missing: the file {} is not set", file.display()));
    assert_no_trace(&world, &server, &id).await;
}
