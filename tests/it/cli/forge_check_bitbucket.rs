//! `longboat forge check` against both Bitbuckets on loopback.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use longboat::clock::Clock;
use serde_json::{Value, json};

use super::{stderr, stdout};
use crate::support::fake_bitbucket::{FakeBitbucket, Kind, TOKEN, hook};
use crate::support::server::write_config;

const ADDRESS: &str = "https://cd.example.com/webhooks/bitbucket";
const SECRET: &str = "a secret of the webhook";

struct World {
    cloud: FakeBitbucket,
    center: FakeBitbucket,
    config: String,
}

impl World {
    /// A repository on each, set up well, and a configuration for both.
    async fn new(folder: &Path) -> Self {
        let cloud = FakeBitbucket::start(Kind::Cloud, Clock::system()).await;
        let center = FakeBitbucket::start(Kind::DataCenter, Clock::system()).await;
        for (fake, name) in [(&cloud, "acme/shop"), (&center, "SHOP/api")] {
            fake.add_repository(name);
            fake.set_hooks(name, vec![hook(fake.kind(), ADDRESS)]);
        }
        let config = format!(
            "server: {{publicUrl: 'https://cd.example.com'}}\n\
             forges:\n\
             \x20 cloud: {{type: bitbucket, apiUrl: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             \x20 center: {{type: bitbucketDataCenter, url: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             repositories:\n  - {{name: acme/shop, forge: cloud}}\n  - {{name: SHOP/api, forge: center}}\n",
            cloud.url(),
            center.url(),
        );
        let config = write_config(folder, &config).to_str().expect("UTF-8").to_owned();
        Self { cloud, center, config }
    }

    /// Runs the command without holding up the fakes, which live in this process.
    async fn check(&self, token: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longboat"));
        command.args(["forge", "check", "--config", &self.config]).args(more);
        command.env("NO_COLOR", "1").env("TEST_TOKEN", token).env("TEST_SECRET", SECRET).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the binary runs")
    }

    /// What it wrote, with the addresses of the fakes left out.
    fn text(&self, output: &Output) -> String {
        stdout(output).replace(&self.center.url(), "CENTER").replace(&self.cloud.url(), "CLOUD")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_bitbuckets_that_are_set_up_well_are_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(folder.path()).await;
    let output = world.check(TOKEN, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    insta::assert_snapshot!(world.text(&output));
    for fake in [&world.cloud, &world.center] {
        assert!(fake.seen().iter().all(|seen| seen.method == "GET"), "nothing was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lacks_on_either_is_said_with_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(folder.path()).await;
    let without_push = |kind| {
        let mut hook = hook(kind, ADDRESS);
        hook["events"].as_array_mut().expect("a list").remove(0);
        vec![hook]
    };
    world.cloud.set_hooks("acme/shop", without_push(Kind::Cloud));
    world.center.set_hooks("SHOP/api", without_push(Kind::DataCenter));
    let output = world.check(TOKEN, &["--format", "json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(found["summary"]["bad"], 2, "{found:#}");
    for (index, event) in ["repo:push", "repo:refs_changed"].iter().enumerate() {
        let items = found["forges"][index]["repositories"][0]["items"].as_array().expect("a list");
        let message = format!("the webhook doesn't send {event}: tick them in its settings");
        let expected = json!({"subject": "webhook", "verdict": "bad", "message": message});
        assert_eq!(items.last(), Some(&expected), "{found:#}");
    }
    // Only what was asked for is looked at.
    let asked = world.cloud.seen().len();
    let output = world.check(TOKEN, &["--repository", "SHOP/api"]).await;
    assert_eq!((output.status.code(), world.cloud.seen().len()), (Some(1), asked), "{}", stdout(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_and_permissions_that_lack_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(folder.path()).await;
    let output = world.check("ATCTT_wrong", &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = world.text(&output);
    assert!(!format!("{text}{}", stderr(&output)).contains("ATCTT_wrong"), "{text}");
    insta::assert_snapshot!("a_wrong_token", text);

    world.cloud.deny("webhook");
    world.center.deny("admin");
    let output = world.check(TOKEN, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = world.text(&output);
    assert!(text.contains("the token may not look at webhooks (the scope `webhook` would do)"), "{text}");
    assert!(text.contains("only an administrator's token may look at webhooks"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(SECRET), "{text}");
}
