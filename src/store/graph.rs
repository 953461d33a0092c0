//! The graph of dependencies: which application file used which module, variable file and included file, at which
//! commit; and looking again at what depends on something that moved.
//!
//! The graph is a memory of what is in Git: each look at a tracked branch writes what its files used, with whatever it
//! publishes, in one transaction. Where it is lost, the looks that follow a start fill it again.

use std::sync::LazyLock;

use super::accept::{Arrival, record};
use super::bell::Bell;
use super::chunk::{self, Texts};
use super::inbox::Source;
use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError};
use crate::model::{ApplicationName, CommitSha, RepositoryName};

/// The most uses that [`Store::dependents`] and [`Store::dependencies`] answer with.
pub const MOST_USES: i64 = 20_000;

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO module_use (repository, branch, position, application, file, used_repository, \
                used_module, used_file, reference, commit_sha, line, through) VALUES ";
    Texts::new(head, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "")
});

/// Something that an application file used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDependency {
    /// The application; none if the file doesn't tell.
    pub application: Option<ApplicationName>,
    /// The application file.
    pub file: String,
    /// The module repository; `std` for what is built in; none: the repository of the application file.
    pub used_repository: Option<String>,
    /// The module's full name without a reference; none if it is a variable file or an included one.
    pub module: Option<String>,
    /// The path of what was used, in its repository. Where there is neither this nor a module, it is a reference of a
    /// file that could not be rendered.
    pub used_file: Option<String>,
    /// The reference as it was written.
    pub reference: Option<String>,
    /// The commit of the module repository.
    pub commit: Option<CommitSha>,
    /// The line of the application file whose call led to the module; none if it is no module.
    pub line: Option<u32>,
    /// The modules that this call led through, outermost first, each as it was called; none if the application file
    /// calls it.
    pub through: Vec<String>,
}

/// A use, and the branch whose file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The repository.
    pub repository: RepositoryName,
    /// The tracked branch.
    pub branch: String,
    /// What was used, and by which file.
    pub uses: FileDependency,
}

/// What the files of a branch used of a module repository by one reference: all that is needed to tell whether a move
/// of that reference concerns them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceUse {
    /// The repository.
    pub repository: RepositoryName,
    /// The tracked branch.
    pub branch: String,
    /// The reference as it was written; none: the default.
    pub reference: Option<String>,
    /// What it meant.
    pub commit: Option<CommitSha>,
    /// A file of the module repository; none: it isn't known which, because a file could not be rendered.
    pub used_file: Option<String>,
}

impl Store {
    /// What was used of a module repository, by branch and reference.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn references_to(&self, module_repository: &str) -> Result<Vec<ReferenceUse>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT repository, branch, reference, commit_sha, used_file FROM module_use \
             WHERE used_repository = $1 ORDER BY repository, branch, reference, commit_sha, used_file",
        )
        .bind(module_repository)
        .fetch_all(self.reads())
        .await?;
        let read = |row: &Row<'_>| {
            Ok(ReferenceUse {
                repository: row.id("repository")?,
                branch: row.text("branch")?,
                reference: row.text_or_null("reference")?,
                commit: row.id_or_null("commit_sha")?,
                used_file: row.text_or_null("used_file")?,
            })
        };
        rows.iter().map(|row| read(&Row::of("module_use", row))).collect()
    }

    /// Who uses a module, by its full name without a reference: by repository, branch and file; 20,000 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn dependents(&self, module: &str) -> Result<Vec<Dependent>, StoreError> {
        let text = "SELECT * FROM module_use WHERE used_module = $1 ORDER BY repository, branch, position LIMIT $2";
        self.dependents_by(text, module).await
    }

    /// Who uses anything of a module repository: by repository, branch and file; 20,000 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn dependents_of_all(&self, module_repository: &str) -> Result<Vec<Dependent>, StoreError> {
        let text = "SELECT * FROM module_use WHERE used_repository = $1 ORDER BY repository, branch, position LIMIT $2";
        self.dependents_by(text, module_repository).await
    }

    async fn dependents_by(&self, text: &'static str, what: &str) -> Result<Vec<Dependent>, StoreError> {
        let rows = sqlx::query(text).bind(what).bind(MOST_USES).fetch_all(self.reads()).await?;
        rows.iter().map(|row| dependent(&Row::of("module_use", row))).collect()
    }

    /// The full names of all modules that are used, sorted; 20,000 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn used_modules(&self) -> Result<Vec<String>, StoreError> {
        let text =
            "SELECT DISTINCT used_module FROM module_use WHERE used_module IS NOT NULL ORDER BY used_module LIMIT $1";
        let rows = sqlx::query(text).bind(MOST_USES).fetch_all(self.reads()).await?;
        rows.iter().map(|row| Row::of("module_use", row).text("used_module")).collect()
    }

    /// What the files of a branch use, in their order; 20,000 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn dependencies(
        &self,
        repository: &RepositoryName,
        branch: &str,
    ) -> Result<Vec<FileDependency>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM module_use WHERE repository = $1 AND branch = $2 ORDER BY position LIMIT $3")
                .bind(repository.as_str())
                .bind(branch)
                .bind(MOST_USES)
                .fetch_all(self.reads())
                .await?;
        rows.iter().map(|row| dependency(&Row::of("module_use", row))).collect()
    }

    /// Puts branches into the inbox as they stand, because something that they depend on has moved. Yields how many
    /// that were; a branch that was never seen, or is gone, is left out. After this answered, a crash doesn't lose it.
    ///
    /// # Errors
    /// If it can't be written; then none of them is.
    pub async fn look_again(&self, branches: Vec<(RepositoryName, String)>) -> Result<usize, StoreError> {
        self.write(move |tx| Box::pin(async move { again(tx, &branches).await })).await
    }
}

fn dependent(row: &Row<'_>) -> Result<Dependent, StoreError> {
    Ok(Dependent { repository: row.id("repository")?, branch: row.text("branch")?, uses: dependency(row)? })
}

fn dependency(row: &Row<'_>) -> Result<FileDependency, StoreError> {
    Ok(FileDependency {
        application: row.id_or_null("application")?,
        file: row.text("file")?,
        used_repository: Some(row.text("used_repository")?).filter(|name| !name.is_empty()),
        module: row.text_or_null("used_module")?,
        used_file: row.text_or_null("used_file")?,
        reference: row.text_or_null("reference")?,
        commit: row.id_or_null("commit_sha")?,
        line: row.int_or_null("line")?.and_then(|line| u32::try_from(line).ok()),
        // Of a row from before there was such a column, it isn't known.
        through: match row.text_or_null("through")? {
            Some(_) => row.json("through")?,
            None => Vec::new(),
        },
    })
}

async fn again(tx: &mut Tx, branches: &[(RepositoryName, String)]) -> Result<usize, StoreError> {
    let mut number = 0;
    for (repository, branch) in branches {
        let git_ref = format!("refs/heads/{branch}");
        let head = sqlx::query("SELECT commit_sha, seq FROM ref_head WHERE repository = $1 AND git_ref = $2")
            .bind(repository.as_str())
            .bind(git_ref.as_str())
            .fetch_optional(&mut tx.connection)
            .await?;
        let Some(head) = head else { continue };
        let head = Row::of("ref_head", &head);
        let Some(commit) = head.id_or_null::<CommitSha>("commit_sha")? else { continue };
        // The ref doesn't move: the next push moves it from this commit, and is told by that.
        let arrival = Arrival {
            repository,
            git_ref: &git_ref,
            seq: head.int("seq")?,
            old: Some(&commit),
            new: Some(&commit),
            source: Source::Modules,
            actor: None,
            event: None,
            document: None,
        };
        record(tx, &arrival, "pending").await?;
        tx.rung.add(Bell::Inbox);
        number += 1;
    }
    Ok(number)
}

/// Puts what the files of a branch use in the place of what was known of it.
pub(super) async fn keep(
    tx: &mut Tx,
    repository: &RepositoryName,
    branch: &str,
    uses: &[FileDependency],
) -> Result<(), StoreError> {
    let there = sqlx::query("SELECT * FROM module_use WHERE repository = $1 AND branch = $2 ORDER BY position")
        .bind(repository.as_str())
        .bind(branch)
        .fetch_all(&mut tx.connection)
        .await?;
    let mut same = there.len() == uses.len();
    for (row, uses) in there.iter().zip(uses) {
        same = same && dependency(&Row::of("module_use", row))? == *uses;
    }
    if same {
        return Ok(());
    }
    sqlx::query("DELETE FROM module_use WHERE repository = $1 AND branch = $2")
        .bind(repository.as_str())
        .bind(branch)
        .execute(&mut tx.connection)
        .await?;
    let mut position = 0;
    for piece in chunk::pieces(uses) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for uses in piece {
            let through = (!uses.through.is_empty())
                .then(|| document(|| format!("what {} uses", uses.file), &uses.through))
                .transpose()?;
            query = query
                .bind(repository.as_str())
                .bind(branch)
                .bind(position)
                .bind(uses.application.as_ref().map(ApplicationName::as_str))
                .bind(uses.file.as_str())
                .bind(uses.used_repository.as_deref().unwrap_or_default())
                .bind(uses.module.as_deref())
                .bind(uses.used_file.as_deref())
                .bind(uses.reference.as_deref())
                .bind(uses.commit.as_ref().map(CommitSha::as_str))
                .bind(uses.line.map(i64::from))
                .bind(through);
            position += 1_i64;
        }
        query.execute(&mut tx.connection).await?;
    }
    Ok(())
}
