//! Commit statuses, as GitHub's REST API spells them.
