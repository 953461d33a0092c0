//! What every backend of the store must do: one list of cases, run on each.
//!
//! A case is an async function that gets a [`Fixture`], opens stores with it, and panics if something is wrong.
//! A further backend is a further way to a `Fixture` and a line at the beginning of `on_every_backend`.

mod accept;
mod append;
mod backlog;
mod cron;
mod duty;
mod ending;
mod execution;
mod freeze;
mod graph;
mod hook;
mod mark;
mod opening;
mod outbox;
mod piece;
mod placement;
mod prune;
mod pull_request;
mod removal;
mod retention;
pub(crate) mod sample;
pub(crate) mod server;
mod settle;
mod wish;
mod writing;

use super::{Store, StoreError, StoreOptions};
use crate::clock::{Clock, Timestamp};

/// A database that is empty at first, and a clock that stands still.
struct Fixture {
    options: StoreOptions,
    clock: Clock,
}

impl Fixture {
    fn new(url: String) -> Self {
        Self {
            options: StoreOptions { durable: false, ..StoreOptions::new(url, "first") },
            clock: Clock::manual(Timestamp::from_millis(1_700_000_000_000)),
        }
    }

    async fn sqlite<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let folder = tempfile::tempdir().expect("temporary folder");
        case(Self::new(format!("sqlite:{}", folder.path().join("longboat.db").display()))).await;
    }

    async fn postgres<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        server::with_database(|url| case(Self::new(url))).await;
    }

    async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(self.options.clone(), self.clock.clone()).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.expect("the store opens")
    }
}

macro_rules! on_every_backend {
    ($($group:ident { $($case:ident,)* })*) => {
        on_every_backend!(@backend sqlite $($group { $($case,)* })*);
        on_every_backend!(@backend postgres $($group { $($case,)* })*);
    };
    (@backend $backend:ident $($group:ident { $($case:ident,)* })*) => {
        mod $backend {
            $(mod $group {
                use crate::store::contract::{Fixture, $group};
                $(#[tokio::test]
                async fn $case() {
                    Fixture::$backend($group::$case).await;
                })*
            })*
        }
    };
}

on_every_backend! {
    opening {
        a_second_store_is_turned_away_until_the_first_is_closed,
        reopening_finds_everything,
        tables_to_which_a_later_version_only_added_are_worked_with,
        the_database_of_a_later_version_is_refused,
        whoever_stood_in_a_lane_before_it_had_a_shard_is_put_there,
        a_closed_store_says_so,
        dropping_all_handles_frees_the_database,
        a_temporary_store_works,
    }
    writing {
        a_failing_job_does_not_hurt_its_neighbours,
        the_write_of_a_caller_that_went_away_lands,
        closing_writes_what_is_queued,
        readers_may_not_write,
        executions_that_start_together_are_all_there_but_those_that_fail,
        keys_rise_and_a_failed_job_leaves_no_trace,
    }
    accept {
        one_push_seen_in_three_ways_runs_once,
        a_b_a_runs_three_times,
        a_late_webhook_is_superseded,
        webhooks_that_race_leave_the_newest_in_force,
        a_whole_chain_of_late_webhooks_starts_nothing,
        two_hooks_for_one_push_run_once,
        a_look_that_was_overtaken_changes_nothing,
        a_branch_that_was_deleted_and_made_again_runs_again,
        a_force_push_is_a_push,
        a_repeated_delivery_is_known,
        a_delivery_may_speak_of_several_refs,
        many_at_once_make_one_entry,
        checking_is_said_with_the_entry_and_not_without,
        ordered_news_with_looks_between_runs_each_push_once,
        the_oldest_entry_of_each_repository_comes_first,
        an_entry_put_off_holds_its_repository_and_no_other,
        texts_sort_by_their_bytes,
        a_text_with_a_zero_character_is_kept_readable,
    }
    duty {
        what_is_written_after_the_end_of_a_term_is_refused,
        a_doubted_message_is_said_once_more_after_a_look,
    }
    settle {
        all_that_came_out_of_a_commit_appears_together,
        a_pipeline_that_vanished_is_withdrawn,
        an_unchanged_pipeline_keeps_its_revision,
        what_references_to_modules_meant_is_kept_with_the_publication,
        an_application_of_another_repository_is_refused,
        a_withdrawn_application_is_free_again,
        settling_twice_does_it_once,
        what_was_said_of_a_commit_is_not_said_again,
        a_settlement_that_fails_leaves_nothing,
        a_start_by_hand_keeps_the_revision_it_names,
        what_is_known_of_a_repository_is_kept,
    }
    pull_request {
        only_another_head_target_or_state_is_news,
        asking_again_is_news_and_a_delivery_is_known,
        what_is_kept_can_be_found,
        entries_known_at_a_look_end_together,
        a_head_s_review_speaks_for_an_untracked_branch,
        pull_requests_hold_up_neither_pushes_nor_each_other,
    }
    mark {
        executions_of_a_merge_commit_mark_its_comment_at_both_ends,
        a_merge_is_known_to_the_next_process,
        a_comment_that_somebody_touched_is_doubted,
    }
    removal {
        what_is_refused_waits_and_is_approved_once,
        an_approval_is_for_what_was_listed,
        only_where_a_branch_stands_can_be_approved,
        what_no_push_brought_is_published_and_starts_nothing,
        what_the_configuration_takes_waits_for_its_own_word,
    }
    piece {
        a_piece_is_replaced_as_a_whole_and_listed_in_order,
        what_belongs_to_an_execution_goes_in_steps,
    }
    placement {
        an_attempt_is_with_whoever_asked_first,
    }
    freeze {
        one_of_each_is_in_force_and_survives,
        one_that_has_run_out_is_none,
    }
    cron {
        a_moment_that_was_due_starts_once,
        what_has_not_begun_stands_for_what_comes_after,
        a_table_that_is_gone_is_forgotten,
    }
    retention {
        the_newest_keep_their_details_and_old_or_many_lose_them,
        a_summary_takes_the_place_of_the_details,
        an_end_that_waits_to_be_worked_off_keeps_the_details,
        its_place_in_a_lane_goes_with_the_details,
    }
    prune {
        messages_are_forgotten_but_for_the_last_word,
        pushes_are_forgotten_but_for_where_a_branch_stands,
        what_waits_for_an_approval_keeps_its_push,
        findings_and_revisions_stay_for_what_is_in_force_or_has_its_details,
    }
    ending {
        an_end_that_somebody_listens_to_is_noted_with_it,
        an_end_is_worked_off_once,
        who_listens_goes_with_what_is_in_force,
    }
    wish {
        a_wish_is_found_by_its_shard_answered_once_and_gone,
        a_wish_that_nobody_came_back_for_is_forgotten,
        who_heeds_which_change_of_the_freezes_is_known,
        what_was_created_meanwhile_is_known,
    }
    hook {
        a_delivery_is_taken_up_once_and_survives,
        a_source_that_sends_too_much_is_held_up,
        who_listens_to_a_source_is_known,
    }
    graph {
        what_files_use_is_kept_by_branch_and_replaced_as_a_whole,
        a_settlement_that_says_nothing_of_uses_leaves_them,
        a_branch_is_looked_at_again_without_a_move,
    }
    execution {
        what_was_created_can_be_read,
        a_correlation_id_starts_once,
        what_a_start_led_to_is_known_once_it_was_queued,
        children_are_found_by_their_parent,
        those_that_stand_in_a_lane_are_known_until_they_end,
        lists_are_filtered_and_come_in_pages,
        a_strange_cursor_is_refused,
        a_document_that_is_too_large_is_refused,
    }
    append {
        rows_reach_journal_summary_and_outbox,
        many_executions_share_a_commit,
        the_last_row_of_an_execution_counts,
        a_row_written_twice_is_fenced,
        a_fenced_batch_leaves_nothing_and_spares_its_neighbours,
        an_owner_that_was_replaced_is_fenced,
        an_execution_that_ended_or_never_was_is_fenced,
        an_execution_that_ended_is_revived_by_a_row_that_says_so,
        a_body_that_is_too_large_is_refused,
    }
    backlog {
        what_waits_is_counted_and_what_is_done_is_not,
    }
    outbox {
        rows_of_a_context_are_sent_in_order,
        what_was_said_last_is_known,
        a_row_put_off_holds_its_context_and_no_other,
        a_row_given_up_lets_the_next_one_through,
        rows_of_a_forge_at_rest_wait_without_a_failure,
        the_newest_execution_owns_the_context,
        what_is_said_about_files_has_its_own_order,
        the_newest_key_is_known_at_start,
        a_message_that_was_given_up_gets_another_try_after_a_rest,
    }
}
