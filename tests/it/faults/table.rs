//! The table: each fault, the tests that provoke it, and what stays out of reach of a test on one machine.

use super::super::support::named;

struct Fault {
    number: usize,
    what: &'static str,
    /// Functions that bear `#[test]`, anywhere in the tree.
    tests: &'static [&'static str],
    /// What of it no test here provokes, and why.
    left_out: &'static str,
}

const fn fault(number: usize, what: &'static str, tests: &'static [&'static str], left_out: &'static str) -> Fault {
    Fault {
        number,
        what,
        tests,
        left_out,
    }
}

const FAULTS: [Fault; 35] = [
    fault(
        1,
        "Redis is not there at the start",
        &["redis_that_was_never_there", "redis_may_come_later_than_the_sidecar"],
        "",
    ),
    fault(
        2,
        "Redis is killed under load",
        &[
            "redis_killed_under_load_loses_nothing",
            "a_killed_redis_costs_the_first_decisions_little_and_later_ones_nothing",
        ],
        "",
    ),
    fault(
        3,
        "Redis hangs",
        &["redis_that_hangs", "a_hung_redis_delays_a_decision_by_one_timeout"],
        "",
    ),
    fault(
        4,
        "the answer to a claim is lost",
        &[
            "a_claim_whose_answer_is_lost_is_asked_again_and_granted_once",
            "a_claim_whose_answers_are_all_lost_holds_nobody_for_a_lease",
            "a_claim_that_redis_executed_too_late_keeps_other_replicas_away_while_we_forward",
        ],
        "",
    ),
    fault(
        5,
        "Redis is full (OOM)",
        &["a_redis_that_refuses_is_a_redis_that_is_out"],
        "",
    ),
    fault(
        6,
        "Redis was demoted (READONLY)",
        &["a_redis_that_refuses_is_a_redis_that_is_out"],
        "",
    ),
    fault(
        7,
        "Redis has too few replicas (NOREPLICAS)",
        &["a_redis_that_refuses_is_a_redis_that_is_out"],
        "",
    ),
    fault(
        8,
        "Redis cannot save (MISCONF)",
        &["a_redis_that_refuses_is_a_redis_that_is_out"],
        "a full disk itself: mounting one takes root; a snapshot that cannot be written gives the same answer",
    ),
    fault(
        9,
        "Redis is loading (LOADING)",
        &["a_redis_that_is_still_loading_is_out_until_it_has_loaded"],
        "",
    ),
    fault(
        10,
        "Redis has forgotten the scripts (NOSCRIPT)",
        &["the_ledger_on_redis_passes_with_its_scripts_flushed_all_the_time"],
        "",
    ),
    fault(
        11,
        "the master dies, Sentinel promotes",
        &["sentinel_names_the_master_and_the_next_one_when_it_dies"],
        "",
    ),
    fault(
        12,
        "the master hangs, Sentinel promotes",
        &["a_master_that_hung_and_comes_back_is_not_believed"],
        "",
    ),
    fault(
        13,
        "the replica that is promoted never synced",
        &[
            "flushall_under_load_loses_nothing",
            "sentinel_names_the_master_and_the_next_one_when_it_dies",
        ],
        "a promotion before the first synchronization is a matter of the server's timing: what we see of it is a ledger \
         that is gone, as after FLUSHALL",
    ),
    fault(
        14,
        "a Cluster node is lost, slots move",
        &[
            "a_node_that_dies_is_an_outage_for_its_slots_only",
            "a_slot_that_moves_under_claims_gives_no_wrong_answer",
            "a_cluster_that_says_it_is_down_is_out_as_a_whole_and_comes_back",
        ],
        "",
    ),
    fault(15, "FLUSHALL", &["flushall_under_load_loses_nothing"], ""),
    fault(
        16,
        "packets between us and Redis are dropped",
        &["a_partition_is_a_hang", "a_connection_that_has_fallen_silent_is_left"],
        "a packet filter takes root: the proxy holds both directions back, on old connections and new",
    ),
    fault(
        17,
        "the link to Redis is bad: slow, stalling, reset",
        &["a_bad_link_gives_no_wrong_answer"],
        "single lost packets: TCP makes stalls of them, and stalls are what the proxy makes",
    ),
    fault(
        18,
        "kill -9 between the claim and the forward",
        &["killed_between_claim_and_forward_the_retry_is_delivered_once"],
        "",
    ),
    fault(
        19,
        "kill -9 between the app's 2xx and the settlement",
        &[
            "killed_between_success_and_settlement_there_is_one_duplicate_that_says_so",
            "after_a_kill_9_another_replica_delivers_the_retry_once_the_lease_is_over",
        ],
        "",
    ),
    fault(
        20,
        "kill -9 between the settlement and the answer",
        &["killed_between_settlement_and_answer_the_app_is_left_alone"],
        "",
    ),
    fault(
        21,
        "a sidecar is frozen past its lease",
        &[
            "a_replica_that_was_frozen_past_its_lease_spoils_nothing",
            "a_replica_that_wakes_up_after_its_lease_starts_no_forward",
        ],
        "",
    ),
    fault(
        22,
        "the app is down",
        &[
            "upstream_unreachable",
            "an_app_that_comes_up_late_is_waited_for",
            "an_app_that_restarts_between_two_requests_costs_neither",
        ],
        "",
    ),
    fault(
        23,
        "the app is too slow",
        &["upstream_timeout", "the_providers_deadline_bounds_the_wait"],
        "",
    ),
    fault(
        24,
        "the app dies in the middle of its answer",
        &["a_2xx_whose_body_breaks_off_is_delivered", "answers_that_are_none"],
        "",
    ),
    fault(
        25,
        "the sender hangs up",
        &[
            "a_sender_that_hangs_up_leaves_a_settled_delivery",
            "a_reset_stream_of_http_2_leaves_a_settled_delivery",
        ],
        "",
    ),
    fault(
        26,
        "SIGTERM under load",
        &["sigterm_under_load_loses_no_request", "sigterm_drains"],
        "",
    ),
    fault(
        27,
        "a reload that is bad",
        &[
            "sighup_with_a_bad_file_changes_nothing_and_says_where",
            "reloads_under_load_cost_no_request",
            "a_secret_is_rotated_without_a_gap",
        ],
        "",
    ),
    fault(
        28,
        "no file descriptors",
        &["running_out_of_files_passes_when_connections_close"],
        "",
    ),
    fault(
        29,
        "little memory",
        &["memory_stays_flat_in_a_flood", "overloaded_by_bodies"],
        "the kernel's OOM killer: a limit of a cgroup takes root; being killed is 18 to 20",
    ),
    fault(
        30,
        "little CPU",
        &["a_fifth_of_a_cpu_is_slow_and_right"],
        "a quota of a cgroup takes root: the process is stopped four fifths of the time, as a quota does",
    ),
    fault(
        31,
        "the clock is stepped",
        &[
            "a_stepped_clock_moves_the_window_and_nothing_else",
            "stale_by_a_clock_that_is_off_is_503",
        ],
        "",
    ),
    fault(
        32,
        "the monotonic clock jumps",
        &["a_delivery_is_remembered_for_keep_and_no_longer"],
        "on Linux it does not while a process runs; one that is suspended in between is 21",
    ),
    fault(
        33,
        "one destination of several is down",
        &[
            "each_destination_gets_its_events_and_a_retry_only_what_it_lacks",
            "what_one_replica_delivered_in_part_the_other_completes",
        ],
        "",
    ),
    fault(
        34,
        "a destination comes or goes between two attempts",
        &[
            "a_destination_that_failed_and_is_taken_out_is_not_waited_for",
            "a_destination_that_is_added_gets_what_is_open_and_nothing_that_is_done",
        ],
        "",
    ),
    fault(
        35,
        "names are not resolved any more",
        &[
            "the_last_good_addresses_serve_while_dns_is_gone",
            "a_lookup_that_hangs_does_not_hold_up_a_known_name",
        ],
        "the machine's own resolver: taking it away takes a mount namespace, and root",
    ),
];

#[test]
fn every_fault_has_a_test_that_exists() {
    let tests = named::tests();
    let mut missing = Vec::new();
    for (row, fault) in FAULTS.iter().enumerate() {
        assert_eq!(fault.number, row + 1, "{}", fault.what);
        assert!(!fault.tests.is_empty(), "{} {} has no test", fault.number, fault.what);
        for test in fault.tests {
            if !tests.contains(*test) {
                missing.push(format!("{} {}: {test}", fault.number, fault.what));
            }
        }
        if !fault.left_out.is_empty() {
            println!("{} {}: not here: {}", fault.number, fault.what, fault.left_out);
        }
    }
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}
