//! One suite for the ports, whoever's hands are behind them.
//!
//! A crate of hands includes this folder as a module of one of its integration tests and names a function that
//! makes its hands and answers them with a guard, which is kept until the test is over:
//!
//! ```ignore
//! #[cfg(test)]
//! #[macro_use]
//! #[path = "../../../tests/conformance/mod.rs"]
//! mod conformance;
//!
//! async fn table() -> (Arc<dyn Table>, ()) { … }
//! table_conformance!(on_the_emulator, crate::table);
//! ```
//!
//! Every case works under a name that nobody else uses, so a suite may run against a store that is not empty, beside
//! itself. The including crate needs tokio with `macros`, `rt-multi-thread` and `time`, `bytes`, and the crates
//! `flagforge-platform` and `flagforge-flags`.

#![allow(clippy::panic, reason = "a case fails by panicking, as every test does")]

pub(crate) mod bus;
pub(crate) mod contention;
pub(crate) mod objects;
pub(crate) mod pages;
pub(crate) mod signer;
pub(crate) mod table;
pub(crate) mod timer;
pub(crate) mod transactions;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process;

/// A slug that no other run and no other case has: `conf-` and 16 hexadecimal digits.
pub(crate) fn unique() -> String {
    // Each `RandomState` has new random keys; the process only adds to them.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    format!("conf-{:016x}", hasher.finish())
}

macro_rules! conformance_cases {
    ($suite:ident, $hands:path; $($module:ident: $($case:ident)+;)+) => {
        mod $suite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    let (hands, _guard) = $hands().await;
                    $crate::conformance::$module::$case(hands).await;
                }
            )+)+
        }
    };
}

/// `table_conformance!(name_of_the_suite, crate::function)`, the function being
/// `async fn() -> (Arc<dyn Table>, impl Sized)`.
macro_rules! table_conformance {
    ($suite:ident, $hands:path) => {
        conformance_cases! { $suite, $hands;
            table:
                what_is_put_is_read_back_exactly
                a_put_replaces_the_whole_item
                a_delete_removes_and_a_second_delete_finds_nothing
                partitions_do_not_mix
                bodies_from_empty_to_the_limit_are_kept
                keys_at_their_limit_are_kept_and_one_past_it_is_refused
                empty_keys_are_refused
                every_condition_of_every_action_holds_or_refuses;
            transactions:
                all_failed_conditions_are_named_and_nothing_is_written
                a_transaction_of_no_writes_does_nothing
                a_key_twice_in_a_transaction_is_refused
                the_number_of_writes_at_its_limit_and_one_past_it
                the_bytes_of_a_transaction_at_their_limit_and_one_past_it
                a_repeated_token_has_no_second_effect
                a_token_of_another_transaction_is_refused
                a_refused_transaction_does_not_use_up_its_token;
            contention:
                eight_compare_and_swap_writers_lose_nothing
                concurrent_transfers_keep_the_sum
                of_sixteen_puts_on_absence_one_wins;
            pages:
                a_range_has_its_first_end_and_not_its_last
                sort_keys_are_in_byte_order
                pages_join_without_gap_or_overlap
                descending_is_ascending_backwards
                a_page_token_outlives_the_item_it_names
                pages_of_large_items_are_followed_to_the_end
                paging_under_writes_sees_every_standing_item_once
                an_empty_range_has_no_next_page;
        }
    };
}

/// `objects_conformance!(name_of_the_suite, crate::function)`, the function being
/// `async fn() -> (Arc<dyn Objects>, impl Sized)`.
macro_rules! objects_conformance {
    ($suite:ident, $hands:path) => {
        conformance_cases! { $suite, $hands;
            objects:
                what_is_put_is_read_back_exactly
                a_held_tag_saves_the_fetch_until_the_object_changes
                a_put_on_absence_never_replaces
                a_put_on_a_tag_replaces_only_that
                of_sixteen_puts_on_absence_one_wins
                of_sixteen_puts_on_a_tag_one_wins
                concurrent_readers_see_whole_objects
                bodies_from_empty_to_the_limit_are_kept
                a_body_one_past_the_limit_is_refused
                names_of_the_grammar_are_names
                names_outside_the_grammar_are_refused
                a_listing_has_what_begins_with_its_prefix_in_order
                only_what_is_old_enough_is_removed;
        }
    };
}

/// `signer_conformance!(name_of_the_suite, crate::function)`, the function being
/// `async fn() -> (Arc<dyn Signer>, impl Sized)`.
macro_rules! signer_conformance {
    ($suite:ident, $hands:path) => {
        conformance_cases! { $suite, $hands;
            signer:
                a_signature_verifies_with_the_public_key_and_no_other_message
                messages_of_any_length_are_signed
                the_public_key_stays;
        }
    };
}

/// `bus_conformance!(name_of_the_suite, crate::function)`, the function being
/// `async fn() -> (Arc<dyn Bus>, impl Sized)`.
macro_rules! bus_conformance {
    ($suite:ident, $hands:path) => {
        conformance_cases! { $suite, $hands;
            bus:
                every_notice_is_taken_also_with_the_longest_keys;
        }
    };
}

/// `timer_conformance!(name_of_the_suite, crate::function)`, the function being
/// `async fn() -> (Arc<dyn Timer>, impl Sized)`.
macro_rules! timer_conformance {
    ($suite:ident, $hands:path) => {
        conformance_cases! { $suite, $hands;
            timer: the_time_is_of_this_age_and_goes_on;
        }
    };
}
