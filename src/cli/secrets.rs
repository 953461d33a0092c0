//! Secrets for a run at the terminal: given by name, each with the place that keeps it.

use anyhow::bail;
use indexmap::IndexMap;

use crate::config::{Secret, SecretAccess, SecretPlace};
use crate::expression::secrets_named;
use crate::model::{Pipeline, SecretName};
use crate::secret::Secrets;

/// The secrets of `--secret NAME=VARIABLE` and `--secret NAME=@FILE`. A value is never given itself: everybody on the
/// machine can read the arguments of a command.
pub(super) fn given(texts: &[String], pipeline: &Pipeline) -> anyhow::Result<Secrets> {
    let mut secrets = IndexMap::new();
    for text in texts {
        // Not repeated whole: what stands behind the sign may be a real secret by mistake.
        let Some((name, place)) = text.split_once('=') else { bail!("--secret: write NAME=VARIABLE or NAME=@FILE") };
        let name = SecretName::parse(name)?;
        let source = match place.strip_prefix('@') {
            Some(file) => SecretPlace::File(std::path::absolute(file)?),
            None if std::env::var_os(place).is_some() => SecretPlace::Env(place.to_owned()),
            None => bail!(
                "--secret {name}: there is no environment variable of the name that stands behind the `=`; write \
                 {name}=VARIABLE or {name}=@FILE, never the value itself"
            ),
        };
        secrets.insert(name, Secret { source, access: SecretAccess::default() });
    }
    let mut missing: Vec<String> = Vec::new();
    for stage in &pipeline.stages {
        for name in secrets_named(&stage.fields, &stage.raw, &stage.secret) {
            if !secrets.contains_key(&name) && !missing.contains(&name.to_string()) {
                missing.push(name.to_string());
            }
        }
    }
    if let Some(first) = missing.first() {
        bail!(
            "the pipeline uses secrets that nobody gave: {}; give each by its source, like --secret {first}=VARIABLE or \
             --secret {first}=@FILE",
            missing.join(", ")
        );
    }
    Ok(Secrets::of(&secrets, Vec::new()))
}
