//! What a commit comes to otherwise than when it was published, although neither it nor the modules that it names have
//! moved: the server's configuration is another (the operator's `vars`, or where its module repositories are), or its
//! version. What was changed there takes effect at the next start, in each branch as it stands; and as with a reference that
//! moved, the commit says so.

use std::collections::BTreeSet;

use super::catalogue::Catalogued;
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::Checked;
use crate::model::{ApplicationName, ChangeKind, CommitSha, Pipeline, counted};
use crate::store::Published;

/// The most pipelines of an application that are named.
const MOST_NAMED: usize = 5;

/// A pipeline that differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Different {
    application: ApplicationName,
    pipeline: String,
    kind: ChangeKind,
}

/// The pipelines that are published or withdrawn from this commit otherwise than they were from the same commit before.
/// Where a reference to a module repository moved meanwhile, that is told instead.
pub(super) fn different(commit: &CommitSha, what: &Catalogued, in_force: &[Published]) -> Vec<Different> {
    let mut found = Vec::new();
    let before = |application: &ApplicationName| {
        let of = in_force.iter().filter(|one| one.pipeline.application == *application && one.commit == *commit);
        of.collect::<Vec<_>>()
    };
    let mut add = |application: &ApplicationName, pipeline: &Pipeline, kind| {
        found.push(Different { application: application.clone(), pipeline: pipeline.name.to_string(), kind });
    };
    for publication in &what.publish {
        let before = before(&publication.application);
        if before.is_empty()
            || before.iter().any(|one| one.branch != publication.branch || one.pins != publication.pins)
        {
            continue;
        }
        for pipeline in &publication.pipelines {
            match before.iter().find(|one| one.pipeline.name == pipeline.name) {
                None => add(&publication.application, pipeline, ChangeKind::Added),
                Some(one) if !is_same(&one.pipeline, pipeline) => {
                    add(&publication.application, pipeline, ChangeKind::Changed);
                }
                Some(_) => {}
            }
        }
        let stays = |one: &&&Published| publication.pipelines.iter().any(|pipeline| pipeline.name == one.pipeline.name);
        let gone = before.iter().filter(|one| !stays(one));
        gone.for_each(|one| add(&publication.application, &one.pipeline, ChangeKind::Removed));
    }
    for application in &what.withdraw {
        before(application).iter().for_each(|one| add(application, &one.pipeline, ChangeKind::Removed));
    }
    found
}

/// Whether two are the same but for the place where they stand, which may be a module's.
fn is_same(before: &Pipeline, after: &Pipeline) -> bool {
    *before == Pipeline { source: before.source.clone(), ..after.clone() }
}

/// What is said of it, for each application.
pub(super) fn findings(different: &[Different], commit: &CommitSha, checked: &Checked) -> Vec<Diagnostic> {
    let applications: BTreeSet<&ApplicationName> = different.iter().map(|one| &one.application).collect();
    let tell = |name: &ApplicationName| {
        let of: Vec<&Different> = different.iter().filter(|one| one.application == *name).collect();
        let named = of.iter().take(MOST_NAMED).map(|one| format!("`{}` {}", one.pipeline, one.kind.as_str()));
        let more = match of.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            Some(more) => format!(" and {more} more"),
            None => String::new(),
        };
        let message = format!(
            "`{name}` comes out otherwise than when it was published from {}, without a new commit: {}{more}",
            commit.short(),
            named.collect::<Vec<_>>().join(", ")
        );
        let finding = Diagnostic::info(Code::RenderedAnew, message)
            .hint("the server's configuration was changed (its `vars`, or its module repositories), or its version");
        let place = checked.applications.iter().find(|one| one.name == *name).and_then(|one| one.named_at.first());
        match place {
            Some(place) => finding.at(place.clone()),
            None => finding,
        }
    };
    applications.into_iter().map(tell).collect()
}

/// The same in a few words, for a status: `2 pipelines come out otherwise by the server's configuration`.
pub(super) fn summarize(different: &[Different]) -> Option<String> {
    let number = u32::try_from(different.len()).ok().filter(|number| *number > 0)?;
    let verb = if number == 1 { "comes" } else { "come" };
    Some(format!("{} {verb} out otherwise by the server's configuration", counted(number, "pipeline")))
}
