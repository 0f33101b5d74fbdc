//! The index of the attack table: where each row is shown, as cases of the wire table, as tests of its own, or as both.

use super::super::support::named;
use super::{frames, rows};
use std::{collections::BTreeSet, path::Path};

/// In which lanes a row has cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wires {
    None,
    /// Plain and in TLS.
    Http1,
    Http2,
    Both,
}

struct Row {
    number: u32,
    what: &'static str,
    wires: Wires,
    /// Functions that bear `#[test]`, anywhere in the tree; with a slash: files that such a function reads.
    shown: &'static [&'static str],
    /// What of it nothing here shows, and why.
    left_out: &'static str,
}

const fn row(number: u32, what: &'static str, wires: Wires, shown: &'static [&'static str]) -> Row {
    Row {
        number,
        what,
        wires,
        shown,
        left_out: "",
    }
}

const fn without(number: u32, what: &'static str, shown: &'static [&'static str], left_out: &'static str) -> Row {
    Row {
        left_out,
        ..row(number, what, Wires::None, shown)
    }
}

use Wires::{Both, Http1, Http2, None as Nowhere};

const ROWS: [Row; 87] = [
    row(1, "Content-Length, then Transfer-Encoding", Http1, &[]),
    row(2, "Transfer-Encoding, then Content-Length", Http1, &[]),
    row(3, "two lengths that differ", Http1, &[]),
    row(4, "two equal lengths, a list of lengths", Http1, &[]),
    row(5, "a length that is no number", Both, &[]),
    row(6, "a coding before chunked", Http1, &[]),
    row(7, "empty codings, two codings", Http1, &[]),
    row(
        8,
        "almost chunked",
        Http1,
        &["chunked_is_the_only_coding_and_stands_alone"],
    ),
    row(9, "chunked in HTTP/1.0", Http1, &[]),
    row(10, "a chunk's size that is no number", Http1, &["chunks"]),
    row(11, "chunks ended by LF", Http1, &["chunks"]),
    row(12, "extensions of chunks", Http1, &["chunks"]),
    row(13, "trailers", Http1, &["trailers_are_dropped_whatever_they_say"]),
    row(14, "bare LF", Http1, &[]),
    row(
        15,
        "header lines that are none",
        Http1,
        &["lines_that_are_no_header_lines"],
    ),
    row(
        16,
        "a second request behind a refused one",
        Http1,
        &["a_body_that_was_refused_unread_is_never_parsed_as_a_request"],
    ),
    row(
        17,
        "a body that ends early",
        Http1,
        &["a_body_that_breaks_off_is_malformed_and_forwards_nothing"],
    ),
    row(18, "a body longer than its length", Http1, &[]),
    row(
        19,
        "HTTP/2: fields of one connection, another length",
        Http2,
        &["a_body_of_another_length_than_declared_reaches_nobody"],
    ),
    row(
        20,
        "HTTP/2: bytes that no field has",
        Http2,
        &["a_malformed_request_costs_at_most_its_connection_and_is_counted_once"],
    ),
    row(
        21,
        "HTTP/2: pseudo headers that would be cut apart as HTTP/1.1",
        Http2,
        &["over_http_2_the_authority_is_the_host"],
    ),
    row(
        22,
        "HTTP/2: floods of resets, of headers, of settings, and windows that stay closed",
        Nowhere,
        &[
            "rapid_resets_and_endless_headers_are_told_to_calm_down",
            "whoever_only_chatters_is_told_to_calm_down",
            "a_small_block_that_unpacks_to_a_large_head_is_refused",
            "floods_whose_answers_nobody_reads_cost_no_memory",
            "an_answer_that_the_window_never_lets_out_has_the_write_deadline",
            "what_breaks_the_protocol_ends_the_connection_and_is_counted_once",
        ],
    ),
    row(
        23,
        "100-continue",
        Http1,
        &["the_body_is_asked_for_only_when_the_head_is_let_in"],
    ),
    row(
        24,
        "another expectation",
        Both,
        &["the_only_expectation_is_100_continue"],
    ),
    row(
        25,
        "upgrades",
        Http1,
        &[
            "an_upgrade_is_no_matter_of_the_gate",
            "informational_answers_are_skipped_but_a_switch_is_broken",
        ],
    ),
    row(26, "CONNECT", Both, &["method"]),
    row(27, "other methods", Both, &["method"]),
    row(28, "methods that are none", Both, &[]),
    row(29, "absolute targets", Http1, &["only_an_origin_form_target_comes_in"]),
    row(30, "other versions", Http1, &["http_1_0_is_served_once_a_connection"]),
    row(
        31,
        "no host, two hosts, hosts that are none",
        Both,
        &["exactly_one_well_formed_host_of_ours"],
    ),
    row(32, "another host", Both, &["hosts_are_compared_as_dns_compares_them"]),
    row(
        33,
        "heads that are too large",
        Both,
        &["heads_beyond_the_limits_have_their_own_status"],
    ),
    row(
        34,
        "slow heads, bodies and readers",
        Nowhere,
        &[
            "slow_heads_and_slow_bodies_are_cut_while_honest_senders_are_served",
            "the_header_deadline_ends_a_slow_head_and_spares_idle_connections",
            "every_window_has_to_bring_its_share",
            "a_reader_that_stands_still_is_dropped",
            "a_reader_that_stands_still_is_dropped_over_tls_too",
            "too_slow",
        ],
    ),
    row(
        35,
        "targets that another parser may read otherwise",
        Both,
        &["a_path_is_refused_for_what_another_parser_may_make_of_it"],
    ),
    row(36, "double encoding", Both, &[]),
    row(
        37,
        "our own namespace",
        Both,
        &["our_namespace_is_ours_in_every_spelling"],
    ),
    row(
        38,
        "the signature named in Connection",
        Both,
        &["connection_cannot_name_our_headers_away"],
    ),
    row(
        39,
        "forwarding headers of a stranger",
        Both,
        &["forwarding_headers_are_ours_alone"],
    ),
    row(
        40,
        "endless forwarding headers",
        Both,
        &["the_walk_is_bounded", "no_header_makes_it_panic_or_long"],
    ),
    row(
        41,
        "a PROXY header that nobody asked for",
        Http1,
        &["an_untrusted_peer_is_served_as_itself_and_its_header_is_no_http"],
    ),
    row(
        42,
        "two signature headers",
        Both,
        &["a_missing_or_doubled_signature_is_refused_before_the_body"],
    ),
    row(43, "joined signature headers", Both, &[]),
    row(
        44,
        "Stripe's lists",
        Both,
        &["stripe_takes_one_time_and_sixteen_signatures"],
    ),
    row(45, "an unknown scheme only", Both, &[]),
    row(
        46,
        "digits and letters that look alike",
        Both,
        &["case_and_confusion_of_encodings_are_refused"],
    ),
    row(47, "short signatures", Both, &[]),
    row(48, "other encodings", Both, &["decoding_is_strict"]),
    row(49, "SHA-1 only", Both, &[]),
    row(
        50,
        "an algorithm named in the request",
        Both,
        &[
            "every_vector_is_judged_right_in_one_run_and_nothing_secret_is_told",
            "tests/vectors/paypal.json",
        ],
    ),
    row(
        51,
        "the address of a key or certificate in the request",
        Both,
        &[
            "nothing_is_fetched_from_elsewhere_nor_for_what_no_key_could_prove",
            "strangers_cannot_send_us_to_a_key_server_without_end",
            "only_the_named_hosts_are_believed",
            "every_vector_is_judged_right_in_one_run_and_nothing_secret_is_told",
            "tests/vectors/aws-sns.json",
        ],
    ),
    row(
        52,
        "a public key as the secret of a MAC",
        Nowhere,
        &["unfit_secrets_are_refused_without_being_quoted"],
    ),
    row(
        53,
        "secrets that are none",
        Nowhere,
        &[
            "unfit_secrets_are_refused_without_being_quoted",
            "a_broken_whsec_secret_is_told_at_load",
            "a_variable_that_nobody_expanded_is_seen",
            "an_unreadable_secret_is_77",
            "a_half_written_secret_and_one_that_is_gone_change_nothing",
            "tests/config/invalid/allow-unverified-elsewhere.yaml",
            "tests/config/invalid/none-silent.yaml",
        ],
    ),
    row(
        54,
        "no signature",
        Both,
        &["a_missing_or_doubled_signature_is_refused_before_the_body"],
    ),
    without(
        55,
        "what a comparison's time tells",
        &["any_flipped_bit_is_refused", "unverified"],
        "time itself: it takes a quiet machine and a statistic, not a test that must pass on a busy one",
    ),
    row(
        56,
        "one of many secrets",
        Both,
        &[
            "the_older_of_two_secrets_is_named",
            "encodings_and_short_keys_are_taken_at_their_word",
        ],
    ),
    row(
        57,
        "a body that was written anew",
        Both,
        &["the_cause_of_every_classic_mistake_is_named_and_nothing_secret_with_it"],
    ),
    row(
        58,
        "bodies that are no text",
        Both,
        &["method_target_headers_and_body_pass_as_received"],
    ),
    row(59, "compressed bodies", Both, &[]),
    row(
        60,
        "bodies over the limit",
        Both,
        &[
            "a_large_body_comes_over_http_2_and_one_that_is_too_large_costs_its_stream_only",
            "an_honest_sender_of_too_large_a_body_reads_its_413_and_a_forgers_huge_one_is_not_read",
        ],
    ),
    row(
        61,
        "documents that are read in two ways",
        Both,
        &[
            "depth_is_bounded_without_recursion",
            "a_doubled_key_is_malformed_where_id_or_event_is_read",
        ],
    ),
    row(62, "times that are none", Both, &["only_plain_digits_are_a_time"]),
    row(
        63,
        "too old, too far ahead",
        Both,
        &["tolerance_off_and_zero_mean_what_they_say"],
    ),
    row(64, "two times", Both, &[]),
    row(
        65,
        "separators in a signed id",
        Both,
        &["an_id_that_holds_the_separator_is_never_the_key_alone"],
    ),
    row(66, "a replay within the window", Both, &["duplicate", "replayed"]),
    row(
        67,
        "a replay after the window",
        Both,
        &["a_delivery_is_remembered_for_keep_and_no_longer", "stale"],
    ),
    row(
        68,
        "a replay under a new unsigned id",
        Both,
        &["conflict", "an_honest_repeat_is_no_conflict"],
    ),
    row(
        69,
        "an unsigned label that was changed",
        Both,
        &["an_honest_repeat_is_no_conflict"],
    ),
    row(70, "a replay at another source", Both, &[]),
    row(
        71,
        "a replay at all replicas at once",
        Nowhere,
        &[
            "two_replicas_deliver_once_whatever_the_race",
            "the_ledger_keeps_every_invariant_in_larger_worlds",
        ],
    ),
    row(
        72,
        "a replay while Redis is away",
        Nowhere,
        &[
            "what_was_delivered_in_an_outage_is_refused_during_and_after_it_by_every_replica",
            "what_redis_called_delivered_is_remembered_in_an_outage",
        ],
    ),
    row(
        73,
        "a clock that is stepped",
        Nowhere,
        &[
            "a_stepped_clock_moves_the_window_and_nothing_else",
            "stale_by_a_clock_that_is_off_is_503",
        ],
    ),
    row(
        74,
        "ids that are long or break out",
        Both,
        &["every_key_has_a_slot", "parts_do_not_run_into_each_other"],
    ),
    row(
        75,
        "handshakes that reflect or sign what they are given",
        Both,
        &[
            "no_open_handshake_is_a_signing_oracle",
            "a_preset_cannot_declare_an_oracle",
            "zoom_signs_short_tokens_only",
            "every_handshake_declares_what_proves_it",
            "handshakes_have_a_limit_of_their_own",
        ],
    ),
    row(
        76,
        "the function that sends samples, from outside",
        Nowhere,
        &[
            "admin_refuses_what_a_page_of_another_site_could_send",
            "the_api_takes_orders_of_its_own_page_only",
            "an_admin_address_for_others_needs_a_token_and_may_have_one",
        ],
    ),
    row(
        77,
        "a flood of bad signatures",
        Nowhere,
        &[
            "penalized",
            "who_verified_within_a_day_is_never_penalized_at_that_source",
            "a_million_bad_prefixes_neither_grow_the_memory_nor_hurt_the_honest",
            "an_honest_64_in_a_48_of_forgers_and_behind_the_providers_own_addresses_is_let_through",
        ],
    ),
    row(
        78,
        "a flood of good ones",
        Both,
        &["rate_limited", "only_what_is_authentic_and_new_spends_the_rate"],
    ),
    row(
        79,
        "idle connections, and no file descriptors left",
        Nowhere,
        &[
            "however_many_are_slow_there_is_room_for_the_last_one",
            "silent_connections_make_room_for_a_sender",
            "without_file_descriptors_accepting_pauses_and_recovers",
            "running_out_of_files_passes_when_connections_close",
            "overload_comes_in_stages",
            "close_to_a_bound_an_answer_ends_its_connection_after_the_streams_beside_it",
        ],
    ),
    row(
        80,
        "answers of the app that are none, or without an end",
        Nowhere,
        &[
            "every_final_status_is_an_answer_and_no_redirect_is_followed",
            "answers_that_are_none",
            "answers_without_an_end_are_over_in_time",
            "answers_are_handed_through_whole_or_not_at_all",
            "bodies_and_heads_are_bounded",
            "lengths_and_codings_that_contradict_each_other",
        ],
    ),
    row(
        81,
        "headers of the app that are not for the sender",
        Nowhere,
        &[
            "what_is_between_the_app_and_us_stays_there",
            "an_answer_loses_what_is_not_for_the_sender",
        ],
    ),
    row(
        82,
        "destinations that are the cloud's own",
        Nowhere,
        &[
            "link_local_and_metadata_addresses_are_refused_in_every_spelling",
            "no_spelling_of_a_metadata_address_is_taken",
            "metadata_addresses_are_not_connected_to",
        ],
    ),
    row(
        83,
        "secrets in what is written down",
        Nowhere,
        &[
            "no_secret_signature_token_or_body_is_said_to_anybody",
            "causes_never_hold_secrets_or_signatures",
        ],
    ),
    row(
        84,
        "labels that grow",
        Nowhere,
        &["every_row_over_every_wire", "every_metric_is_there_from_the_start"],
    ),
    row(
        85,
        "bytes that break out of a line of the log",
        Nowhere,
        &[
            "every_row_over_every_wire",
            "nothing_from_outside_breaks_out_of_its_value",
            "values_are_cut_at_256_bytes_between_characters",
            "text_is_cut_and_cannot_steer_the_terminal",
        ],
    ),
    row(
        86,
        "YAML that unfolds, turns in circles or says things twice",
        Nowhere,
        &[
            "every_invalid_file_is_refused_with_its_message",
            "tests/config/invalid/alias-bomb.yaml",
            "tests/config/invalid/alias-cycle.yaml",
            "tests/config/invalid/duplicate-key.yaml",
            "a_file_of_a_hundred_thousand_mistakes_is_refused_in_no_time",
            "no_damage_to_a_file_makes_it_panic",
        ],
    ),
    row(
        87,
        "health, metrics and admin through the public port",
        Both,
        &["no_source"],
    ),
];

#[test]
fn every_row_of_the_attack_table_is_shown_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = named::tests();
    let http1: BTreeSet<u32> = rows().iter().map(|case| case.row).collect();
    let http2: BTreeSet<u32> = frames::all().iter().map(|case| case.row).collect();
    let mut wrong = Vec::new();
    for (at, row) in (1..).zip(&ROWS) {
        assert_eq!(row.number, at, "{}", row.what);
        let wires = match (http1.contains(&at), http2.contains(&at)) {
            (false, false) => Wires::None,
            (true, false) => Wires::Http1,
            (false, true) => Wires::Http2,
            (true, true) => Wires::Both,
        };
        if wires != row.wires {
            wrong.push(format!("{at} {}: cases in {wires:?}, not {:?}", row.what, row.wires));
        }
        if wires == Wires::None && row.shown.is_empty() {
            wrong.push(format!("{at} {}: nothing shows it", row.what));
        }
        for name in row.shown {
            let exists = if name.contains('/') {
                root.join(name).is_file()
            } else {
                tests.contains(*name)
            };
            if !exists {
                wrong.push(format!("{at} {}: no {name}", row.what));
            }
        }
        if !row.left_out.is_empty() {
            println!("{at} {}: not here: {}", row.what, row.left_out);
        }
    }
    let beyond = http1.union(&http2).find(|number| !(1..=87).contains(*number));
    assert_eq!(beyond, None, "the table has 87 rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
