//! Commits that take many pipelines away at once.

use std::time::Duration;

use longboat::diagnostic::{Code, Severity};
use longboat::git::GitOptions;
use longboat::gitops::RemovalLimits;
use longboat::model::{CommitSha, StatusState};
use longboat::store::Approval;
use longboat::trigger::TriggerOptions;

use super::pulls::world::Pulls;
use super::world::{World, application, follow, repository};
use crate::support::repo::Repo;

/// An application file with pipelines that start with each push.
fn file(application: &str, pipelines: std::ops::Range<u32>) -> String {
    let one =
        |at: u32| format!("  - {{name: p{at:02}, triggers: [{{type: git}}], stages: [{{id: one, type: noop}}]}}\n");
    format!("application: {application}\npipelines:\n{}", pipelines.map(one).collect::<String>())
}

struct Removals {
    repo: Repo,
    world: World,
}

impl Removals {
    /// Fifteen pipelines in two applications, three of them `tea`'s.
    async fn new(limits: RemovalLimits) -> Self {
        let repo = Repo::new();
        repo.git(&["checkout", "--quiet", "-B", "main"]);
        repo.write(".longboat/shop.yaml", file("shop", 0..12)).write(".longboat/tea.yaml", file("tea", 20..23));
        repo.commit("One");
        let specs = vec![follow("local/shop", repo.path().to_string_lossy())];
        let options = TriggerOptions { removals: limits, ..TriggerOptions::default() };
        let world = World::with(specs, options, GitOptions::default()).await;
        world.seen("local/shop").await;
        Self { repo, world }
    }

    fn remove(&self, path: &str) -> &Repo {
        std::fs::remove_file(self.repo.path().join(path)).expect("removed");
        &self.repo
    }

    /// What was said last about the files of a commit.
    async fn said(&self, commit: &CommitSha) -> String {
        let said = self.world.said(commit).await;
        let last = said.into_iter().rfind(|line| line.starts_with("longboat/validate: ")).expect("validated");
        last.trim_start_matches("longboat/validate: ").to_owned()
    }

    async fn approve(&self, commit: &CommitSha) -> Approval {
        self.world.store.approve_removal(&repository("local/shop"), commit, "ann").await.expect("written")
    }

    async fn waiting(&self) -> Vec<CommitSha> {
        let all = self.world.store.removals(None).await.expect("reads");
        all.into_iter().filter(|one| one.approved.is_none()).map(|one| one.commit).collect()
    }

    async fn codes(&self, commit: &CommitSha) -> Vec<Code> {
        let found = self.world.store.findings(&repository("local/shop"), commit).await.expect("reads");
        found.expect("was looked at").findings.iter().map(|one| one.code).collect()
    }
}

#[tokio::test]
async fn too_many_are_refused_over_a_restart_and_go_once_somebody_approved() {
    let mut this = Removals::new(RemovalLimits::default()).await;
    let before = this.world.store.pipelines(None).await.expect("reads");
    let two = this.remove(".longboat/shop.yaml").write("README", "x").commit("Two");
    this.world.settled(&two).await;
    let refused = format!(
        "Failure Failed: would remove 12 of 15 pipelines, approve with longboat repositories approve-removal local/shop {}",
        two.short()
    );
    assert_eq!(this.said(&two).await, refused);
    assert_eq!(this.world.store.pipelines(None).await.expect("reads"), before, "all is as it was");
    assert!(
        this.world.started().await.is_empty(),
        "nothing that the commit takes away starts for it, nor what it keeps"
    );
    let found = this.world.store.findings(&repository("local/shop"), &two).await.expect("reads").expect("kept");
    let hint = found.findings[0].hint.clone().expect("a hint");
    assert!(
        hint.starts_with("they are `shop/p00`, ") && hint.contains("`shop/p04` and 7 more; if that is meant:"),
        "{hint}"
    );

    this.world.clock.advance(Duration::from_millis(1));
    this.world.restart().await;
    let since = this.world.clock.now();
    let refused_anew = async |world: &World| {
        let waiting = world.store.removals(None).await.expect("reads");
        waiting.iter().any(|one| one.refused_at == since)
    };
    this.world.until("it is refused at the start as well", refused_anew).await;
    assert_eq!(this.waiting().await, std::slice::from_ref(&two));
    assert_eq!(this.world.store.pipelines(None).await.expect("reads").len(), 15);

    let Approval::Given(given) = this.approve(&two).await else { panic!("not given") };
    assert_eq!((given[0].pipelines.len(), given[0].of), (12, 15));
    this.world.until("it is published", async |world| world.published().await.len() == 3).await;
    this.world.idle().await;
    assert_eq!(this.said(&two).await, "Success 3 pipelines valid, removal of 12 approved by ann");
    let started = this.world.started().await;
    assert_eq!(started.len(), 3, "as if it had just been pushed: {started:?}");
    assert_eq!(this.codes(&two).await, []);
    assert!(matches!(this.approve(&two).await, Approval::Given(_)), "again is the same");
    this.world.idle().await;
    assert_eq!(this.world.started().await.len(), 3, "and starts nothing more");

    // It was for that commit alone.
    let three = this.repo.write(".longboat/shop.yaml", file("shop", 0..12)).commit("Three");
    this.world.settled(&three).await;
    assert_eq!(this.world.published().await.len(), 15);
    let four = this.remove(".longboat/shop.yaml").commit("Four");
    this.world.settled(&four).await;
    assert_eq!(this.world.published().await.len(), 15);
    assert_eq!(this.waiting().await, [four]);
}

#[tokio::test]
async fn what_moves_to_another_file_or_application_is_not_removed() {
    let this = Removals::new(RemovalLimits::default()).await;
    this.remove(".longboat/shop.yaml").write(".longboat/a/new.yaml", file("shop", 0..6));
    let two = this.repo.write(".longboat/other.yaml", file("store", 6..12)).commit("Two");
    this.world.settled(&two).await;
    // Files in folders below are no application files: six are gone and six have moved.
    assert_eq!(this.codes(&two).await, []);
    let names = this.world.published().await;
    assert_eq!(names.len(), 9, "{names:?}");
    assert_eq!(this.said(&two).await, "Success 9 pipelines valid");

    let three = this.remove(".longboat/other.yaml").write(".longboat/x.yaml", file("depot", 6..12)).commit("Three");
    this.world.settled(&three).await;
    let names = this.world.published().await;
    assert!(names.len() == 9 && names[0] == "depot/p06", "{names:?}");
}

#[tokio::test]
async fn an_application_that_is_renamed_with_a_mistake_stays_as_it_was() {
    let this = Removals::new(RemovalLimits::default()).await;
    let broken = file("store", 0..12).replace("p03, triggers", "p03, trigers");
    let two = this.repo.write(".longboat/shop.yaml", broken).commit("Two");
    this.world.settled(&two).await;
    assert_eq!(this.world.published().await.len(), 15);
    assert_eq!(this.codes(&two).await, [Code::UnknownKey]);
    let three = this.repo.write(".longboat/shop.yaml", file("store", 0..12)).commit("Three");
    this.world.settled(&three).await;
    assert!(this.world.store.pipelines(Some(&application("shop"))).await.expect("reads").is_empty());
    assert_eq!(this.world.published().await.len(), 15);
}

#[tokio::test]
async fn a_removal_is_said_with_all_else_that_is_wrong_and_forgotten_when_the_branch_goes_on() {
    let this = Removals::new(RemovalLimits { share: 0, from: 1 }).await;
    this.repo.write(".longboat/new.yaml", "application: new\npipelines: 3\n");
    this.repo.write(".longboat/next.yaml", "application: [next\n");
    let two = this.repo.write(".longboat/shop.yaml", file("shop", 0..11)).commit("Two");
    this.world.settled(&two).await;
    assert_eq!(this.codes(&two).await, [Code::LargeRemoval, Code::WrongType, Code::YamlSyntax]);
    assert_eq!(
        this.said(&two).await,
        "Failure Failed: 3 errors, this commit would remove 1 of the repository's 15 pipelines"
    );
    assert_eq!(this.waiting().await, std::slice::from_ref(&two));

    let three = this.repo.write(".longboat/shop.yaml", file("shop", 0..12)).commit("Three");
    this.world.settled(&three).await;
    assert_eq!(this.waiting().await, []);
    assert_eq!(this.approve(&two).await, Approval::NotRefused);
}

#[tokio::test]
async fn a_review_says_before_the_merge_that_it_will_have_to_be_approved() {
    let pulls = Pulls::with(|_| {}, |options| options.removals = RemovalLimits { share: 50, from: 2 }).await;
    let many = pulls.remote.write(".longboat/more.yaml", file("more", 0..4)).commit("more");
    pulls.world.settled(&many).await;
    let (this, review) = pulls.open(7, &[(".longboat/more.yaml", &file("more", 0..1))]).await;
    let warned: Vec<_> = review.findings.iter().map(|one| (one.finding.severity, one.finding.code)).collect();
    assert_eq!((review.errors, warned.as_slice()), (0, [(Severity::Warning, Code::LargeRemoval)].as_slice()));
    let finding = &review.findings[0].finding;
    assert_eq!(
        finding.message,
        "the merge removes 3 of the repository's 5 pipelines, which somebody has to approve then"
    );
    let hint = finding.hint.as_deref().expect("a hint");
    assert!(hint.ends_with("`longboat repositories approve-removal acme/shop COMMIT`"), "{hint}");
    assert_eq!(longboat::gitops::summarize_review(&review).0, StatusState::Success);
    assert_eq!(pulls.said(&this.head).await.last().map(String::as_str), Some("Success 2 pipelines valid"));
    // One that takes away two of five, and one into a branch whose definitions don't count.
    let (_, review) = pulls.open(8, &[(".longboat/more.yaml", &file("more", 0..2))]).await;
    assert_eq!(review.findings, []);
}
