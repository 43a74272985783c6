//! What people do with an installation, from outside: HTTP, OFREP and the SDK only. The same journeys
//! run on the world in one process and on the emulated cloud.

mod audit;
mod bad_input;
mod changes;
mod copies;
mod definitions;
mod delivery;
mod directory;
mod imports;
mod isolation;
mod json;
mod keys;
mod kills;
mod matrix;
mod operator;
mod overrides;
mod promotions;
mod roles;
mod rows;
mod segments;

pub use audit::*;
pub use bad_input::*;
pub use changes::*;
pub use copies::*;
pub use definitions::*;
pub use delivery::*;
pub use directory::*;
pub use imports::*;
pub use isolation::*;
pub use json::*;
pub use keys::*;
pub use kills::*;
pub use matrix::*;
pub use operator::*;
pub use overrides::*;
pub use promotions::*;
pub use roles::*;
pub use segments::*;

/// Calls the macro `$each` with the name of every journey, so that no runner forgets one.
#[macro_export]
macro_rules! for_each_journey {
    ($each:ident) => {
        $each!(a_flag_is_defined_flipped_and_seen);
        $each!(two_tenants_get_different_answers);
        $each!(rules_splits_and_groups_decide);
        $each!(every_value_type_arrives_as_what_it_is);
        $each!(a_deleted_tenant_leaves_nothing_to_its_successor);
        $each!(a_deleted_flag_leaves_nothing_to_its_successor);
        $each!(definitions_keep_what_states_need);
        $each!(the_log_tells_it_all);
        $each!(pages_hold_everything_once);
        $each!(a_stale_version_changes_nothing);
        $each!(a_repeat_has_one_effect);
        $each!(concurrent_writers_lose_nothing);
        $each!(bad_bodies_name_the_field_and_change_nothing);
        $each!(bodies_and_keys_have_limits);
        $each!(bad_headers_and_paths_are_told);
        $each!(a_schema_holds_tenants_to_their_types);
        $each!(tenants_are_searched_and_filtered);
        $each!(a_group_with_a_condition_follows_its_tenants);
        $each!(what_is_special_about_a_tenant_is_one_list);
        $each!(what_a_tenant_gets_says_why_and_what_it_hides);
        $each!(an_import_is_applied_in_batches_and_repeats_nothing);
        $each!(an_import_with_bad_lines_names_each);
        $each!(fifty_tenants_are_put_at_once_or_none);
        $each!(the_log_is_asked_by_flag_tenant_actor_and_request);
        $each!(a_log_is_exported_and_holds_to_its_chain);
        $each!(a_tenants_view_of_the_log_has_nothing_of_others);
        $each!(a_stranger_finds_nothing);
        $each!(what_is_not_yours_looks_like_what_is_not_there);
        $each!(a_key_of_one_environment_stays_there);
        $each!(a_tenants_key_speaks_for_that_tenant_only);
        $each!(keys_make_weaker_keys_and_die_with_their_parents);
        $each!(an_operator_founds_and_cannot_read);
        $each!(a_role_of_ones_own_allows_what_it_says);
        $each!(a_role_allows_no_more_than_its_maker_may);
        $each!(a_large_family_of_keys_ends_at_once);
        $each!(a_segment_decides_and_stays_while_it_is_asked_for);
        $each!(long_lists_come_and_go_in_parts);
        $each!(conditions_in_text_name_line_and_column);
        $each!(nobody_asks_in_a_circle_or_for_nothing);
        $each!(every_class_asks_what_it_has_to);
        $each!(definitions_say_whose_they_are_and_what_they_hold);
        $each!(one_call_turns_an_environment_off_and_back);
        $each!(flags_are_promoted_with_what_they_need);
        $each!(a_state_comes_back_from_its_history);
        $each!(a_clone_does_what_its_original_does);
        $each!(an_environment_is_copied_whole);
        $each!(the_catalog_sorts_flags_and_names_likely_duplicates);
        $each!(an_override_ends_when_it_says);
        $each!(a_groups_override_ends_too);
        $each!(json_that_is_none_is_refused_and_odd_json_breaks_nothing);
        $each!(nobody_gets_at_what_is_somebody_elses);
        $each!(every_route_lets_pass_whom_its_row_names);
        $each!(two_secrets_count_while_a_key_is_rotated);
        $each!(a_suspended_organization_is_served_and_not_managed);
        $each!(an_operator_meters_and_sees_nothing);
        $each!(quotas_hold_at_the_limit_and_one_past_it);
        $each!(who_asks_too_often_is_told_when_to_come_back);
        $each!(a_running_sdk_sees_a_flip);
        $each!(an_sdk_without_its_origin_serves_what_it_has);
    };
}
