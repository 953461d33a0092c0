//! The messages are part of what is tested: an operator sees nothing else.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "LONGBOAT_TOKEN" => Some("a-long-enough-token".to_owned()),
        "GITHUB_TOKEN" => Some("ghp_example".to_owned()),
        "HOOK_SECRET" => Some("hook-secret".to_owned()),
        "BITBUCKET_TOKEN" => Some("ATCTT3-example".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Vec<Diagnostic>> {
    Config::parse(Path::new("/etc/longboat/longboat.yaml"), text, environment)
}

fn findings(text: &str) -> String {
    let findings = parse(text).expect_err("the configuration is refused");
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("{finding}\n  hint: {}", finding.hint.as_deref().unwrap_or("-")))
        .collect();
    lines.join("\n").replace("/etc/longboat/", "")
}

#[test]
fn a_token_says_who_has_it() {
    let config = parse("server: {tokens: [{env: LONGBOAT_TOKEN, name: ann, roles: [release]}, {env: GITHUB_TOKEN}]}");
    let holders = config.expect("legal").server.holders;
    assert_eq!((holders[0].name.as_str(), holders[0].roles.as_deref()), ("ann", Some(&["release".to_owned()][..])));
    assert_eq!(holders[1], Holder::default());
    let refused = parse("server: {tokens: [{env: LONGBOAT_TOKEN, name: \" ann\"}]}").expect_err("refused");
    assert_eq!(refused.len(), 1);
}

#[test]
fn a_group_is_a_role_of_its_members() {
    let config = parse(
        "server:\n  tokens: [{env: LONGBOAT_TOKEN, name: ann}, {env: GITHUB_TOKEN, name: bob, roles: [dev]}, {env: HOOK_SECRET}]\n  \
         groups: {release: [ann, bob], night: [bob]}",
    );
    let roles = |roles: &[&str]| Some(roles.iter().map(ToString::to_string).collect::<Vec<_>>());
    let holders = config.expect("legal").server.holders;
    assert_eq!((&holders[0].roles, &holders[1].roles), (&roles(&["release"]), &roles(&["dev", "release", "night"])));
    assert_eq!(holders[2].roles, None, "who has neither roles nor a group has all");
    let refused =
        parse("server: {tokens: [{env: LONGBOAT_TOKEN, name: ann}], groups: {release: [ane]}}").expect_err("refused");
    let said = refused.iter().map(|finding| format!("{}: {:?}", finding.message, finding.hint)).collect::<Vec<_>>();
    assert_eq!(said, ["no token has the name `ane`: Some(\"did you mean `ann`?\")"]);
}

#[test]
fn the_formats_example_is_read_whole() {
    let config = parse(
        r#"
server: {listen: "127.0.0.1:8084", publicUrl: "https://cd.example.com/", tokens: [{env: LONGBOAT_TOKEN}], stateDir: state}
database: {url: "sqlite:state/longboat.db"}
forges:
  github: {type: github, url: "https://github.com", apiUrl: "https://api.github.com", token: {env: GITHUB_TOKEN}, webhookSecret: {env: HOOK_SECRET}}
repositories:
  - {name: owner/repo, forge: github, branches: [main], applications: [shop], poll: 90s}
  - {name: local/shop, path: ../shop}
modules: {platform: {url: "https://github.com/acme/modules", ref: main, dependents: counts}}
secrets: {}
accounts: {}
"#,
    )
    .expect("the example is legal");
    assert_eq!(config.server.public_url.as_deref(), Some("https://cd.example.com"));
    assert_eq!(config.server.tokens[0].expose_secret(), "a-long-enough-token");
    assert_eq!(config.server.state_dir, Path::new("/etc/longboat/state"));
    assert_eq!(config.database.url, "sqlite:/etc/longboat/state/longboat.db");
    assert!(config.database.durable && config.database.password.is_none());
    let [remote, local] = &config.repositories[..] else { panic!("two repositories") };
    assert_eq!(remote.location, Location::Remote("https://github.com/owner/repo.git".to_owned()));
    assert_eq!(remote.credentials.as_ref().expect("the forge's").password.expose_secret(), "ghp_example");
    assert_eq!((remote.poll, local.poll), (Duration::from_secs(90), Duration::from_secs(60)));
    assert_eq!(local.location, Location::Local("/etc/shop".into()));
    assert!(local.credentials.is_none() && local.applications.is_none() && local.branches.is_empty());
    let warnings: Vec<_> = config.warnings.iter().map(|warning| (warning.code, warning.pointer.as_deref())).collect();
    assert_eq!(warnings, []);
    let [platform] = &config.modules[..] else { panic!("one module repository") };
    assert_eq!(
        (platform.name.as_str(), platform.reference.as_deref(), platform.dependents),
        ("platform", Some("main"), Dependents::Counts)
    );
    assert_eq!(platform.folder, ".longboat/modules");
    let ModuleSource::Own { location, credentials, poll } = &platform.source else { panic!("one of its own") };
    assert_eq!(*location, Location::Remote("https://github.com/acme/modules".to_owned()));
    assert!(credentials.is_none() && *poll == Duration::from_secs(60));
}

#[test]
fn retention_has_defaults_and_bounds() {
    let of = |text: &str| parse(text).expect("legal").retention;
    assert_eq!(of("repositories: []\n"), Retention { details: Duration::from_secs(2_592_000), newest: 20, most: 500 });
    let given = of("retention: {details: 2h, newest: 3, most: 3}\n");
    assert_eq!(given, Retention { details: Duration::from_secs(7200), newest: 3, most: 3 });
    assert_eq!(of("retention: {newest: 1000}\n").most, 1000);
    let wrong = findings("retention: {details: 59m, most: 19}\n");
    assert!(wrong.contains("an hour at least") && wrong.contains("no more than 19 executions"), "{wrong}");
}

#[test]
fn module_repositories_are_followed_ones_or_their_own() {
    let config = parse(
        r#"
forges: {github: {type: github, token: {env: GITHUB_TOKEN}}}
repositories: [{name: acme/modules, forge: github}]
modules:
  followed: {repository: acme/modules, path: ., dependents: plans}
  own: {url: "https://github.com/acme/more", forge: github, ref: ^1.2, path: lib/modules/, poll: 5m, dependents: names}
  elsewhere: {url: "https://git.example.com/x", forge: github, credentials: {username: ann, password: {env: HOOK_SECRET}}}
  stranger: {url: "https://git.example.com/y", forge: github}
  local: {url: ../modules}
"#,
    )
    .expect("legal");
    let told: Vec<String> = config
        .modules
        .iter()
        .map(|one| {
            let from = match &one.source {
                ModuleSource::Followed(name) => format!("followed {name}"),
                ModuleSource::Own { location, credentials, poll } => {
                    let password = credentials.as_ref().map(|credentials| credentials.password.expose_secret());
                    format!("{} {password:?} {}", location.to_url(), poll.as_secs())
                }
            };
            format!("{} {from} {:?} {:?} {:?}", one.name, one.reference, one.folder, one.dependents)
        })
        .collect();
    assert_eq!(
        told,
        [
            "followed followed acme/modules None \"\" Plans",
            "own https://github.com/acme/more Some(\"ghp_example\") 300 Some(\"^1.2\") \"lib/modules\" Names",
            "elsewhere https://git.example.com/x Some(\"hook-secret\") 60 None \".longboat/modules\" Counts",
            "stranger https://git.example.com/y None 60 None \".longboat/modules\" Counts",
            "local /etc/modules None 60 None \".longboat/modules\" Counts",
        ]
    );
    assert!(config.own_secrets().iter().any(|secret| secret.expose_secret() == "hook-secret"));
}

#[test]
fn what_is_wrong_with_module_repositories_has_its_place() {
    insta::assert_snapshot!(findings(
        r#"
repositories: [{name: acme/modules, path: ../modules}]
modules:
  std: {url: "https://h/x"}
  "a/b": {url: "https://h/x"}
  nothing: {}
  both: {url: "https://h/x", repository: acme/modules, poll: 5s}
  typo: {repository: acme/moduels}
  up: {url: "https://h/x", path: ../x}
  ssh: {url: "git@h:x.git"}
  secret: {url: "https://ann:hunter2@h/x"}
  empty: {url: "https://h/x", ref: " "}
  share: {url: "https://h/x", dependents: all}
  key: {url: "https://h/x", reff: main}
"#
    ), @r"
    longboat.yaml:4:8: error[LB0308]: `std` can't be the name of a module repository
      hint: 1 to 60 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`, and not `std`
    longboat.yaml:5:10: error[LB0308]: `a/b` can't be the name of a module repository
      hint: 1 to 60 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`, and not `std`
    longboat.yaml:6:12: error[LB0303]: `modules.nothing` doesn't say where the modules are
      hint: add `url: https://...`, or `repository: NAME` for one of `repositories`
    longboat.yaml:7:15: error[LB0306]: `url` can't stand beside `repository`, which is fetched as `repositories` says
      hint: take one of them out
    longboat.yaml:7:62: error[LB0306]: `poll` can't stand beside `repository`, which is fetched as `repositories` says
      hint: take one of them out
    longboat.yaml:8:22: error[LB0305]: `acme/moduels` is not one of `repositories`
      hint: did you mean `acme/modules`?
    longboat.yaml:9:34: error[LB0305]: `modules.up.path` is no folder inside the repository
      hint: write `.` for the whole repository, or a path like `modules`
    longboat.yaml:10:14: error[LB0305]: `h:x.git` is not an address for `modules.ssh.url`
      hint: write an address that begins with `https://` or `http://` or `file://`; ssh is not supported, `credentials` are for https
    longboat.yaml:11:17: error[LB0602]: the address in `modules.secret.url` holds a user or password
      hint: take it out; a repository has `credentials`, a forge has `token`
    longboat.yaml:12:36: error[LB0305]: `modules.empty.ref` names nothing
      hint: write a tag, a branch, a commit, or a range of versions like `^1.2`
    longboat.yaml:13:43: error[LB0305]: `modules.share.dependents` is `all`, where `counts` or `names` or `plans` is allowed
      hint: -
    longboat.yaml:14:29: error[LB0301]: the key `reff` is not known in `modules.key`
      hint: did you mean `ref`?
    ");
}

#[test]
fn an_empty_file_is_loopback_and_sqlite() {
    for text in ["", "{}", "server:\n", "# nothing yet\n"] {
        let config = parse(text).expect("defaults");
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8084");
        assert_eq!(config.database.url, "sqlite:/etc/longboat/state/longboat.db");
        assert_eq!(config.status_prefix, "longboat");
        assert_eq!(config.limits, Limits::default());
        assert!(config.warnings.is_empty());
    }
}

#[test]
fn everything_wrong_is_said_at_once_and_with_its_place() {
    insta::assert_snapshot!(findings(
        r#"
server: {listn: "127.0.0.1:8084", listen: "somewhere", tokens: [{env: NOT_SET}, plain-text-token], publicUrl: "ftp://x"}
databse: {}
database: {url: "mysql://db", sync: ful}
forges:
  hub: {type: gitHub, webhookSecret: hunter2}
  other: {url: "https://user:hunter3@git.example.com", token: {env: A, file: B}, webhookSecret: {env: EMPTY}}
  third: {type: github, webhookSecret: {file: no/such/file}}
repositories:
  - {name: owner/repo, forge: hbu, poll: 10ms, branches: ["release/*", 1.2]}
  - {name: ../up, path: a, url: b}
  - {name: one, forge: third}
  - {path: x, aplications: [shop]}
  - {name: nowhere, applications: ["a b"], poll: soon}
statuses: {prefix: "a b"}
limits: {webhookBody: 1TB, runningStages: 0, gitDeadline: 5}
logging: {format: xml, filter: "a=b=c"}
"#
    ));
}

#[test]
fn lists_without_wrong_items_are_checked_to_the_end() {
    insta::assert_snapshot!(findings(
        r#"
repositories:
  - {name: owner/repo, forge: hub, poll: 10ms, branches: ["release/*"]}
  - {name: ../up, path: a, url: b}
  - {name: a/b, forge: github}
  - {name: A/B, path: x}
  - {name: one, forge: github}
  - {name: nowhere, applications: ["a b"], poll: soon}
  - {name: c, url: "https://user:hunter3@git.example.com"}
  - {name: d, url: "file://relative"}
  - {name: e, url: "ssh://git@example.com/x", credentials: {username: "", password: {env: LONGBOAT_TOKEN}}}
forges:
  github: {type: github, webhookSecret: {env: HOOK_SECRET}}
"#
    ));
}

#[test]
fn applications_are_names_globs_or_rules_with_branches() {
    let text =
        "repositories: [{name: a, path: x, applications: [shop, 'infra-*', {name: core, branches: ['release/*']}]}]\n";
    let config = parse(text).expect("legal");
    let rules = config.repositories[0].applications.as_ref().expect("rules");
    let may = |name: &str, branch| rules.check(&name.parse().expect("a name"), Some(branch)).is_ok();
    assert!(may("shop", "main") && may("infra-eu", "main") && may("core", "release/1"));
    assert!(!may("core", "main") && !may("bank", "main"));
    insta::assert_snapshot!(findings(
        "repositories: [{name: a, path: x, applications: [{name: 'a b'}, {branches: [main]}, {name: c, branchs: []}, '{x', {name: d, branches: ['[']}, 7]}]\n"
    ));
    insta::assert_snapshot!(findings(
        "repositories: [{name: a, path: x, applications: [{name: 'a b'}, '{x', {name: d, branches: ['[']}]}]\n\
         limits: {removalShare: 101, removalFrom: 0}\n"
    ));
}

#[test]
fn broken_yaml_has_a_place_too() {
    let texts = ["server:\n  listen: [\n", "server: {}\nserver: {}\n", "- a\n- b\n", "a: &x [*x]"];
    insta::assert_snapshot!(texts.map(findings).join("\n"));
}

#[test]
fn a_secret_never_shows_itself() {
    let text = "server: {tokens: [{env: LONGBOAT_TOKEN}]}\nforges: {github: {type: github, token: {env: GITHUB_TOKEN}, webhookSecret: {env: HOOK_SECRET}}}\nrepositories: [{name: a/b, forge: github}]\n";
    let shown = format!("{:?}", parse(text).expect("legal"));
    for secret in ["a-long-enough-token", "ghp_example", "hook-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let refused = findings("server: {tokens: [hunter2]}\nforges: {a: {type: github, url: \"https://u:hunter3@h\"}}");
    assert!(!refused.contains("hunter"), "{refused}");
}

#[test]
fn others_are_let_in_only_with_a_token() {
    for listen in ["0.0.0.0:80", "[::]:80", "192.168.1.2:8084"] {
        let refused = findings(&format!("server: {{listen: \"{listen}\"}}"));
        assert!(refused.contains("LB0604") && refused.contains("without a token"), "{refused}");
        let config = parse(&format!("server: {{listen: \"{listen}\", tokens: [{{env: LONGBOAT_TOKEN}}]}}"));
        assert!(config.expect("a token is there").is_off_loopback());
    }
    for listen in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8084", "localhost:8084"] {
        assert!(!parse(&format!("server: {{listen: \"{listen}\"}}")).expect("loopback").is_off_loopback());
    }
    let open = parse("server: {publicUrl: \"https://cd.example.com\"}").expect("legal, but");
    assert_eq!(open.warnings[0].code, Code::TokenRequired);
    assert!(parse("server: {publicUrl: \"http://localhost:8084\"}").expect("legal").warnings.is_empty());
}

#[test]
fn a_token_goes_to_its_own_forge_only() {
    let credentials = |url: &str| {
        let text = format!(
            "forges: {{github: {{type: github, token: {{env: GITHUB_TOKEN}}, webhookSecret: {{env: HOOK_SECRET}}}}}}\nrepositories: [{{name: a/b, forge: github, url: \"{url}\"}}]"
        );
        parse(&text).expect("legal").repositories[0].credentials.is_some()
    };
    assert!(credentials("https://github.com/a/b.git"));
    for stranger in
        ["http://github.com/a/b", "https://github.com:444/a/b", "https://github.com.evil.example/a", "file:///tmp/x"]
    {
        assert!(!credentials(stranger), "{stranger}");
    }
}

#[test]
fn a_secret_file_is_read_without_its_last_line_break() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "from-a-file\n").expect("written");
    std::fs::write(folder.path().join("longboat.yaml"), "server: {tokens: [{file: token}]}").expect("written");
    let config = Config::load(&folder.path().join("longboat.yaml")).expect("legal");
    assert_eq!(config.server.tokens[0].expose_secret(), "from-a-file");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refused = Config::load(Path::new("/no/such/longboat.yaml")).expect_err("refused");
    assert_eq!(refused[0].code, Code::ConfigUnreadable);
    assert!(refused[0].message.contains("/no/such/longboat.yaml"), "{}", refused[0]);
}

#[test]
fn an_enterprise_server_has_its_api_below_its_address() {
    let config =
        parse("forges: {ghe: {type: github, url: \"https://git.example.com\", webhookSecret: {env: HOOK_SECRET}}}");
    assert_eq!(config.expect("legal").forges["ghe"].api_url, "https://git.example.com/api/v3");
}

/// The first repository of one forge, which has a token.
fn on_bitbucket(forge: &str, repository: &str) -> Repository {
    let text = format!(
        "server: {{publicUrl: \"http://localhost:8084\"}}\n\
         forges: {{bb: {{{forge}, token: {{env: BITBUCKET_TOKEN}}, webhookSecret: {{env: HOOK_SECRET}}}}}}\n\
         repositories: [{{name: {repository}, forge: bb}}]"
    );
    let mut config = parse(&text).unwrap_or_else(|findings| panic!("{findings:?}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    config.repositories.remove(0)
}

#[test]
fn each_bitbucket_has_its_addresses_and_its_way_to_present_a_token() {
    for (forge, name, url, username) in [
        ("type: bitbucket", "acme/shop", "https://bitbucket.org/acme/shop.git", Some("x-token-auth")),
        (
            "type: bitbucket, user: ann@example.com",
            "acme/shop",
            "https://bitbucket.org/acme/shop.git",
            Some("x-bitbucket-api-token-auth"),
        ),
        ("type: bitbucket, user: ann", "acme/shop", "https://bitbucket.org/acme/shop.git", Some("ann")),
        (
            "type: bitbucketDataCenter, url: \"https://git.example.com/bitbucket/\"",
            "SHOP/api",
            "https://git.example.com/bitbucket/scm/SHOP/api.git",
            None,
        ),
        (
            "type: bitbucketDataCenter, url: \"https://git.example.com\", user: ann",
            "~ann/tools",
            "https://git.example.com/scm/~ann/tools.git",
            Some("ann"),
        ),
    ] {
        let repository = on_bitbucket(forge, name);
        assert_eq!(repository.location, Location::Remote(url.to_owned()), "{forge}");
        let credentials = repository.credentials.expect("the forge's");
        assert_eq!(
            (credentials.username.as_deref(), credentials.password.expose_secret()),
            (username, "ATCTT3-example")
        );
    }
    let config = parse("forges: {bb: {type: bitbucket, apiUrl: \"https://api.example.com/2.0/\"}, dc: {type: bitbucketDataCenter, url: \"https://git.example.com/b\"}}").expect("legal");
    assert_eq!(config.forges["bb"].api_url, "https://api.example.com");
    assert_eq!(config.forges["dc"].api_url, "https://git.example.com/b");
}

#[test]
fn what_a_bitbucket_can_not_do_is_said_at_the_start() {
    insta::assert_snapshot!(findings(
        r#"
forges:
  bb: {type: bitbucket, token: {env: BITBUCKET_TOKEN}, webhookSecret: {env: HOOK_SECRET}}
  dc: {type: bitbucketDataCenter, user: "a:b", webhookSecret: {env: HOOK_SECRET}}
  hub: {type: github, user: ann, webhookSecret: {env: HOOK_SECRET}}
  typo: {type: bitbucketdatacenter}
repositories:
  - {name: shop, forge: bb}
  - {name: ~ann, forge: dc}
"#
    ));
}

#[test]
fn the_schema_names_every_key_of_the_format() {
    let schema = Config::json_schema();
    let keys: Vec<&String> = schema["properties"].as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "server",
            "database",
            "forges",
            "repositories",
            "statuses",
            "limits",
            "retention",
            "logs",
            "network",
            "logging",
            "modules",
            "vars",
            "secrets",
            "webhooks",
            "accounts"
        ]
    );
    assert_eq!(schema["properties"]["repositories"]["items"]["required"], serde_json::json!(["name"]));
    assert_eq!(schema["properties"]["server"]["additionalProperties"], false);
}

#[test]
fn what_a_review_may_take_has_two_ends() {
    let config = parse("limits: {reviewMemory: 64MiB, reviewCpu: 5s, reviewDeadline: 2m}").expect("legal");
    let Limits { review_memory, review_cpu, review_deadline, .. } = config.limits;
    assert_eq!((review_memory, review_cpu.as_secs(), review_deadline.as_secs()), (64 << 20, 5, 120));
    assert_eq!(
        findings("limits: {reviewMemory: 31MiB,\n  reviewCpu: 11m,\n  reviewDeadline: 500ms}"),
        "longboat.yaml:1:24: error[LB0305]: `31MiB` is not a size between 32 MiB and 65536 MiB\n  hint: write it like `25MiB`\n\
         longboat.yaml:2:14: error[LB0305]: `limits.reviewCpu` is `11m`, where 10m is the most\n  hint: write `10m` or less\n\
         longboat.yaml:3:19: error[LB0305]: `limits.reviewDeadline` is `500ms`, where a second is the least\n  hint: write `1s` or more"
    );
}

#[test]
fn a_path_below_a_repository_finds_the_longest_name() {
    let config =
        parse("repositories: [{name: a/b, path: x}, {name: a/b/pull-requests, path: y}, {name: a/bc, path: z}]");
    let config = config.expect("legal");
    let at = |path| config.repository_at(path).map(|(repository, rest)| (repository.name.as_str(), rest));
    assert_eq!(at("a/b"), Some(("a/b", "")));
    assert_eq!(at("a/b/other/7"), Some(("a/b", "other/7")));
    assert_eq!(at("a/b/pull-requests"), Some(("a/b/pull-requests", "")));
    assert_eq!(at("a/b/pull-requests/7"), Some(("a/b/pull-requests", "7")));
    assert_eq!(at("a/bc/x"), Some(("a/bc", "x")));
    for path in ["", "a", "a/", "a/b/", "a/bcd", "b"] {
        assert_eq!(at(path), None, "{path}");
    }
}

#[test]
fn a_server_for_the_database_has_its_password_beside_its_address() {
    let config = parse(
        "database: {url: \"postgres://ann@db.example.com:5433/longboat?sslmode=verify-full\", password: {env: LONGBOAT_TOKEN}, sync: normal}",
    )
    .expect("legal");
    assert_eq!(config.database.url, "postgres://ann@db.example.com:5433/longboat?sslmode=verify-full");
    assert_eq!(config.database.password.as_ref().expect("there").expose_secret(), "a-long-enough-token");
    assert!(!config.database.durable && !format!("{config:?}").contains("a-long-enough-token"));

    for (written, code) in [
        ("{url: \"postgres://ann:hunter2@db/longboat\"}", Code::SecretInConfig),
        ("{url: \"postgresql://db/longboat?sslmode=require&password=hunter2\"}", Code::SecretInConfig),
        ("{url: \"postgres://ann@db\"}", Code::ValueNotAllowed),
        ("{url: \"postgres:longboat\"}", Code::ValueNotAllowed),
        ("{url: \"sqlite:longboat.db\", password: {env: LONGBOAT_TOKEN}}", Code::ConflictingKeys),
        ("{replicas: true}", Code::ConflictingKeys),
    ] {
        let findings = parse(&format!("database: {written}")).expect_err(written);
        assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [code], "{written}");
        assert!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");
        assert!(findings[0].hint.is_some(), "{findings:?}");
    }
}

#[test]
fn several_servers_share_a_database_if_it_says_so() {
    let config =
        parse("database: {url: \"postgres://db/longboat\", replicas: true}\nserver: {name: \"blue 1\", drain: 5m}")
            .expect("legal");
    assert!(config.database.replicas);
    assert_eq!(config.server.drain, Duration::from_secs(300));
    let findings = parse("server: {drain: 11m}").expect_err("too long");
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::ValueNotAllowed]);
    assert_eq!(config.server.name.as_deref(), Some("blue 1"));
    let config = parse("database: {url: \"postgres://db/longboat\"}").expect("legal");
    assert!(!config.database.replicas && config.server.name.is_none());
    assert_eq!(config.server.drain, Duration::from_secs(20));
    let name = format!("server: {{name: {}}}", "x".repeat(61));
    for text in ["server: {name: ''}", "server: {name: ' x'}", name.as_str()] {
        let findings = parse(text).expect_err(text);
        assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::BadIdentifier], "{text}");
    }
}

#[test]
fn variables_are_kept_as_they_are_written() {
    let text = "vars:\n  region: eu\n  m: {a-b: [1, null, 1.5, yes]}\n  none: null\n";
    let vars = parse(text).expect("legal").vars;
    let expected = serde_json::json!({"region": "eu", "m": {"a-b": [1, null, 1.5, "yes"]}, "none": null});
    assert_eq!(serde_json::Value::Object(vars), expected);
    assert!(parse("").expect("legal").vars.is_empty());
    assert!(findings("vars: [1]").contains("`vars` is a list, where a mapping is expected"));
    assert!(findings("vars: {a: 1, a: 2}").contains("the key `a` stands twice"));
    // They can be read where the server's secrets aren't.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("longboat.yaml");
    std::fs::write(&path, "server: {tokens: [{env: NOT_HERE}]}\nvars: {a: 1}\n").expect("written");
    assert_eq!(Config::load_vars(&path).expect("legal").len(), 1);
    std::fs::write(&path, "vras: {a: 1}\n").expect("written");
    assert_eq!(Config::load_vars(&path).expect_err("a typo")[0].hint.as_deref(), Some("did you mean `vars`?"));
}

#[test]
fn secrets_of_pipelines_have_a_source_and_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "from-a-file\n").expect("written");
    let text = "repositories: [{name: a, path: a}, {name: b, path: b}]\nsecrets:\n  \
        api: {env: GITHUB_TOKEN, repositories: ['acme/*'], branches: [main]}\n  key: {file: key}\n  \
        gone: {file: no/such, applications: [shop]}\n  unset: {env: UNSET, repositories: ['**']}\n";
    let config = Config::parse(&folder.path().join("longboat.yaml"), text, environment).expect("legal");
    assert_eq!(config.secrets.keys().map(SecretName::as_str).collect::<Vec<_>>(), ["api", "key", "gone", "unset"]);
    assert_eq!(config.secrets[0].source, SecretPlace::Env("GITHUB_TOKEN".to_owned()));
    assert_eq!(config.secrets[1].source, SecretPlace::File(folder.path().join("key")));
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let warnings = warnings.join("\n").replace(&folder.path().display().to_string(), "");
    insta::assert_snapshot!(warnings, @"
    /longboat.yaml:4:8: warning[LB0507]: the secret `key` is for every one of the 2 repositories
    /longboat.yaml:5:16: warning[LB0603]: the file `/no/such` can't be read: No such file or directory (os error 2); stages that use the secret `gone` fail
    /longboat.yaml:6:16: warning[LB0603]: the environment variable `UNSET` is not set: stages that use the secret `unset` fail
    ");
    let shown = format!("{config:?}");
    assert!(!shown.contains("ghp_example") && !shown.contains("from-a-file"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    insta::assert_snapshot!(findings(
        r#"
secrets:
  plain: hunter2hunter2
  both: {env: GITHUB_TOKEN, file: x}
  none: {branches: [main]}
  weak: {env: EMPTY}
  "a b": {env: GITHUB_TOKEN}
  glob: {env: GITHUB_TOKEN, branches: ["a[", main]}
  typo: {env: GITHUB_TOKEN, branch: [main]}
"#
    ), @"
    longboat.yaml:3:10: error[LB0602]: `secrets.plain` holds a value, where only a source is allowed
      hint: write `{env: NAME}` or `{file: PATH}`; if this was a real secret, it is not secret any more
    longboat.yaml:4:9: error[LB0306]: the secret `both` needs exactly one of `env` and `file`
      hint: write `{env: NAME}` or `{file: PATH}`
    longboat.yaml:5:9: error[LB0306]: the secret `none` needs exactly one of `env` and `file`
      hint: write `{env: NAME}` or `{file: PATH}`
    longboat.yaml:6:15: error[LB0607]: the secret `weak` is shorter than 6 bytes, which can't be kept out of logs
      hint: choose a longer one; what is no secret belongs into the pipeline's files
    longboat.yaml:7:10: error[LB0308]: `a b` is not a secret's name
      hint: 1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`
    longboat.yaml:8:40: error[LB0309]: `a[` is not a pattern: unclosed character class; missing ']'
      hint: write names; `*` is any part of one up to a `/`, `**` any part at all
    longboat.yaml:9:29: error[LB0301]: the key `branch` is not known in `secrets.typo`
      hint: did you mean `branches`?
    ");
}

#[test]
fn logs_are_files_unless_a_database_or_a_bucket_is_named() {
    let logs = |text: &str| parse(text).expect("legal").logs;
    assert!(matches!(logs(""), LogStore::Files));
    assert!(matches!(logs("logs: {store: database}"), LogStore::Database));
    let several = "database: {url: 'postgres://longboat@db/longboat', replicas: true}\n";
    assert!(matches!(logs(several), LogStore::Database));
    let said = findings(&format!("{several}logs: {{store: files}}"));
    assert!(said.contains("none reads the files of another") && said.contains("store: s3"), "{said}");
    let own = "logs: {store: s3, s3: {bucket: my-logs, region: eu-central-1, accessKey: {env: GITHUB_TOKEN}, \
               secretKey: {env: HOOK_SECRET}}}";
    let LogStore::S3(bucket) = logs(own) else { panic!("a bucket") };
    assert_eq!(
        (bucket.endpoint.as_str(), bucket.prefix.as_str(), bucket.path_style),
        ("https://s3.eu-central-1.amazonaws.com", "longboat", false)
    );
    assert_eq!((bucket.access_key.as_str(), bucket.secret_key.expose_secret()), ("ghp_example", "hook-secret"));
    let other = own.replace("region: eu-central-1", "endpoint: 'http://10.0.0.1:9000/', prefix: /a/b/");
    let LogStore::S3(bucket) = logs(&other) else { panic!("a bucket") };
    assert_eq!(
        (bucket.endpoint.as_str(), bucket.prefix.as_str(), bucket.path_style),
        ("http://10.0.0.1:9000", "a/b", true)
    );
    let config = parse(own).expect("legal");
    assert!(!format!("{config:?}").contains("hook-secret"));
    assert!(config.own_secrets().iter().any(|secret| secret.expose_secret() == "hook-secret"), "it is masked");
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_at_the_start() {
    let all = "logs: {store: s3, s3: {bucket: 'a/b', region: '', prefix: '../x', endpoint: 'ftp://x'}}";
    for (text, wanted) in [
        ("logs: {store: s3}", &["longboat.yaml:1:15", "`logs.s3` doesn't say which", "add `s3: {bucket: NAME"][..]),
        ("logs: {s3: {bucket: my-logs}}", &["`logs.s3` says where a bucket is", "add `store: s3`"]),
        (all, &["`a/b` is not the name of a bucket", "is not a region", "can't begin with `../x`", "https://"]),
        (all, &["`AWS_ACCESS_KEY_ID` is not set", "`AWS_SECRET_ACCESS_KEY` is not set"]),
    ] {
        let said = findings(text);
        for part in wanted {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
