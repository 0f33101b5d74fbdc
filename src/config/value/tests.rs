//! Texts with a format: what reads, what does not, and that nothing panics.

use super::*;
use proptest::prelude::*;

#[test]
fn durations_sizes_and_rates_read_back_as_written() {
    for (text, millis) in [
        ("100ms", 100),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("3d", 259_200_000),
        ("0s", 0),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for bad in [
        "",
        "5",
        "m",
        "5 m",
        "-5m",
        "5mm",
        "1.5h",
        "PT5M",
        "4294967296s",
        "99999d",
    ] {
        assert!(duration(bad).is_err(), "{bad:?}");
    }
    assert_eq!(size("25MiB"), Ok(25 << 20));
    for bad in [
        "",
        "0B",
        "1",
        "1MB",
        "1.5MiB",
        "-1B",
        "2000GiB",
        "99999999999999999999B",
    ] {
        assert!(size(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        rate("30/m"),
        Ok(Rate {
            count: 30,
            per: Duration::from_mins(1)
        })
    );
    for bad in ["", "30", "0/s", "/s", "30/", "30/w", "x/s"] {
        assert!(rate(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        (show(Duration::from_mins(90)), show_size(1536)),
        ("90m".to_owned(), "1536B".to_owned())
    );
}

#[test]
fn a_path_that_the_gate_would_refuse_is_no_path() {
    assert_eq!(path("/a/*"), Ok(PathRule::Below("/a/".to_owned())));
    assert_eq!(path("/*"), Ok(PathRule::Below("/".to_owned())));
    assert_eq!(path("/"), Ok(PathRule::Exact("/".to_owned())));
    for bad in [
        "",
        "a",
        "/a*",
        "/*/b",
        "/a?b",
        "/a#b",
        "//a",
        "/a/../b",
        "/%2e%2E/b",
        "/..;x/b",
        "/a%2Fb",
        "/%61",
        "/%7E/*",
        "/a b",
        "/ü",
    ] {
        assert!(path(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,24}") {
        let _ = (duration(&text), size(&text), rate(&text), address(&text), network(&text));
        let _ = (host(&text), path(&text), place(&text), time(&text));
    }

    #[test]
    fn what_is_shown_reads_back(millis in 0_u32..) {
        let some = Duration::from_millis(u64::from(millis));
        prop_assert_eq!(duration(&show(some)), Ok(some));
    }
}
