//! A script's environment: an allow-list of Longboat's own, what it says about the execution, and `env`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::fields::Fields;
use crate::engine::StageContext;

/// What scripts inherit from Longboat, besides `LC_*`. Everything else stays away from them: Longboat's own
/// environment holds tokens.
const INHERITED: &[&str] =
    &["HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER"];

/// The variable by which everything that an execution runs is known.
pub(super) const EXECUTION: &str = "LONGBOAT_EXECUTION_ID";

/// Where programs are looked for if Longboat has no PATH itself.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment of a script. `own` is Longboat's.
pub(super) fn environment(
    ctx: &StageContext,
    fields: &Fields,
    output: &Path,
    own: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(OsString, OsString)>, String> {
    let mut env: Vec<(OsString, OsString)> = own.into_iter().filter(|(name, _)| is_inherited(name)).collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    env.extend(marks(ctx).map(|(name, value)| (name.into(), value.into())));
    let info = &ctx.execution.info;
    let text = |value: Option<&str>| OsString::from(value.unwrap_or_default());
    env.extend([
        ("LONGBOAT_APPLICATION".into(), text(Some(info.pipeline.application.as_str()))),
        ("LONGBOAT_PIPELINE".into(), text(Some(info.pipeline.name.as_str()))),
        ("LONGBOAT_COMMIT".into(), text(info.commit.as_ref().map(|commit| commit.as_str()))),
        ("LONGBOAT_BRANCH".into(), text(info.trigger.branch.as_deref())),
        ("LONGBOAT_OUTPUT".into(), output.into()),
    ]);
    // Last, so that an author can set PATH or HOME.
    env.extend(fields.env()?.into_iter().map(|(name, value)| (name.into(), value.into())));
    Ok(env)
}

/// The variables by which the processes of an attempt are known, wherever they went.
pub(super) fn marks(ctx: &StageContext) -> [(&'static str, String); 3] {
    [
        (EXECUTION, ctx.execution.info.id.to_string()),
        ("LONGBOAT_STAGE", ctx.path.to_string()),
        ("LONGBOAT_ATTEMPT", ctx.attempt.to_string()),
    ]
}

fn is_inherited(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::super::tests::Stage;
    use super::*;

    fn built(fields: serde_json::Value, own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let (ctx, _signals) = Stage::of("script", fields.clone()).commit().context();
        let fields = Fields::read(&fields).expect("legal");
        let own = own.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        environment(&ctx, &fields, Path::new("/out"), own)
            .expect("legal")
            .into_iter()
            .map(|(name, value)| (name.into_string().expect("text"), value.into_string().expect("text")))
            .collect()
    }

    #[test]
    fn secrets_of_longboat_itself_stay_away() {
        let own =
            [("GITHUB_TOKEN", "t"), ("LONGBOAT_TOKEN", "t"), ("LC_ALL", "C"), ("HOME", "/h"), ("LD_PRELOAD", "x")];
        let env = built(json!({"command": "x", "env": {"HOME": "/mine"}}), &own);
        assert_eq!(env.get("LC_ALL").map(String::as_str), Some("C"));
        assert_eq!(env.get("HOME").map(String::as_str), Some("/mine"), "the author's own value counts");
        assert_eq!(env.get("PATH").map(String::as_str), Some(DEFAULT_PATH));
        assert!(!env.values().any(|value| value == "t" || value == "x"), "{env:?}");
    }

    #[test]
    fn a_script_knows_what_it_runs_for() {
        let env = built(json!({"command": "x"}), &[]);
        let names: Vec<&str> = env.keys().filter_map(|name| name.strip_prefix("LONGBOAT_")).collect();
        assert_eq!(
            names,
            ["APPLICATION", "ATTEMPT", "BRANCH", "COMMIT", "EXECUTION_ID", "OUTPUT", "PIPELINE", "STAGE"]
        );
        assert_eq!((env["LONGBOAT_STAGE"].as_str(), env["LONGBOAT_OUTPUT"].as_str()), ("stage", "/out"));
        assert_eq!((env["LONGBOAT_APPLICATION"].as_str(), env["LONGBOAT_BRANCH"].as_str()), ("shop", "main"));
    }
}
