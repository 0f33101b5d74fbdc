//! What changes something, and who may.

use super::*;

#[test]
fn a_foreign_host_or_origin_is_refused() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        let status = async |host: &str, more: &str| {
            let request = format!("GET /api/v1/status HTTP/1.1\r\n{host}Connection: close\r\n{more}\r\n");
            split(&admin.raw(&request).await).0
        };
        for host in [
            "localhost:9482",
            "LOCALHOST",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:9482",
            "[::1]",
        ] {
            let origin = format!("Origin: http://{host}\r\n");
            assert_eq!(status(&format!("Host: {host}\r\n"), "").await, 200, "{host}");
            assert_eq!(status(&format!("Host: {host}\r\n"), &origin).await, 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "u@localhost",
            "",
        ] {
            assert_eq!(status(&format!("Host: {host}\r\n"), "").await, 421, "{host}");
        }
        assert_eq!(status("", "").await, 421);
        assert_eq!(status("Host: localhost\r\nHost: localhost\r\n", "").await, 421);
        for more in [
            "Origin: http://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: http://localhost:3000\r\n",
            "Origin: http://localhost\r\nOrigin: http://localhost\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            assert_eq!(status("Host: localhost\r\n", more).await, 403, "{more}");
        }
        let absolute = "GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(split(&admin.raw(absolute).await).0, 421);
    });
}

#[test]
fn a_change_needs_both_headers_and_the_method() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        for (headers, expected) in [
            ("", 415),
            ("Hookward-Admin: 1\r\n", 415),
            ("Content-Type: text/plain\r\nHookward-Admin: 1\r\n", 415),
            (
                "Content-Type: application/x-www-form-urlencoded\r\nHookward-Admin: 1\r\n",
                415,
            ),
            ("Content-Type: application/json\r\n", 403),
            ("Content-Type: application/json\r\nHookward-Admin: 0\r\n", 403),
        ] {
            assert_eq!(admin.post("/api/v1/drain", headers, "").await.0, expected, "{headers}");
        }
        assert_eq!(admin.get("/api/v1/drain", CHANGE).await.0, 405);
        assert_eq!(admin.post("/api/v1/status", CHANGE, "{}").await.0, 405);
        assert_eq!(admin.sidecar.drained.load(Ordering::SeqCst), 0);
        let (status, body) = admin.post("/api/v1/drain", CHANGE, "").await;
        assert_eq!((status, &json(&body)["draining"]), (202, &Value::Bool(true)));
        assert_eq!(admin.sidecar.drained.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn forget_tells_what_became_of_it() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        for (source, body, expected) in [
            ("stripe", r#"{"delivery": "evt_1"}"#, 200),
            ("stripe", r#"{"delivery": "evt_busy"}"#, 409),
            ("stripe", r#"{"delivery": "evt_down"}"#, 503),
            ("stripe", r#"{"delivery": "evt_2"}"#, 404),
            ("cron", r#"{"delivery": "evt_1"}"#, 409),
            ("nobody", r#"{"delivery": "evt_1"}"#, 404),
            ("No%20Name", r#"{"delivery": "evt_1"}"#, 404),
            ("stripe", r#"{"since": "10m"}"#, 200),
            ("stripe", r#"{"since": "10m", "event": "push"}"#, 503),
            ("cron", r#"{"since": "10m"}"#, 409),
            ("nobody", r#"{"since": "10m"}"#, 404),
            ("stripe", r#"{"since": "10"}"#, 400),
            ("stripe", r#"{"since": "0s"}"#, 400),
            ("stripe", r#"{"since": "-10m"}"#, 400),
            ("stripe", r#"{"since": 600}"#, 400),
            ("stripe", r#"{"since": "10m", "delivery": "evt_1"}"#, 400),
            ("stripe", r#"{"event": "push", "delivery": "evt_1"}"#, 400),
            ("stripe", r#"{"event": "push"}"#, 400),
            ("stripe", "{}", 400),
            ("stripe", "", 400),
            ("stripe", "[]", 400),
            ("stripe", r#"{"delivery": 1}"#, 400),
            ("stripe", r#"{"delivery": "evt_1", "since": "1h"}"#, 400),
        ] {
            let (status, answer) = admin
                .post(&format!("/api/v1/sources/{source}/forget"), CHANGE, body)
                .await;
            assert_eq!(status, expected, "{source} {body}: {answer}");
            json(&answer);
        }
        let body = r#"{"since": "1m 30s", "event": "invoice.*"}"#;
        let (status, answer) = admin.post("/api/v1/sources/stripe/forget", CHANGE, body).await;
        let document = json(&answer);
        assert_eq!(
            (
                status,
                &document["forgotten"],
                &document["complete"],
                &document["event"]
            ),
            (200, &90.into(), &false.into(), &"invoice.*".into())
        );
    });
}

#[test]
fn a_token_is_needed_where_one_is_configured() {
    run(async {
        let token = Access::Token(Secret::new(b"correct horse battery".to_vec()));
        let admin = start(Some(token), Bounds::default()).await;
        for (headers, expected) in [
            ("", 401),
            ("Authorization: Bearer correct horse batter\r\n", 401),
            ("Authorization: Bearer correct horse battery2\r\n", 401),
            ("Authorization: Basic correct horse battery\r\n", 401),
            // What a browser makes of a name and a password: the token is the password.
            ("Authorization: Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXI=\r\n", 401),
            ("Authorization: Basic Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n", 401),
            ("Authorization: Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n", 200),
            (
                "Authorization: Bearer correct horse battery\r\nAuthorization: Bearer correct horse battery\r\n",
                401,
            ),
            ("Authorization: Bearer correct horse battery\r\n", 200),
            ("authorization: bearer correct horse battery\r\n", 200),
        ] {
            assert_eq!(admin.get("/api/v1/status", headers).await.0, expected, "{headers}");
        }
    });
}

#[test]
fn orders_reach_the_sidecar_and_their_bodies_are_judged() {
    run(async {
        let admin = start(Some(Access::Loopback), Bounds::default()).await;
        let headers = "Content-Type: application/json\r\nHookward-Admin: 1\r\n";
        for (path, body, status, part) in [
            ("reload", "", 422, "line 7"),
            ("log-level", r#"{"level":"debug"}"#, 200, "debug"),
            ("log-level", "{}", 400, "level"),
            (
                "sources/stripe/send",
                r#"{"event":"invoice.paid"}"#,
                200,
                "invoice.paid",
            ),
            (
                "sources/stripe/send",
                r#"{"bad":"replay"}"#,
                409,
                "nothing was sent: no ledger",
            ),
            ("sources/stripe/send", r#"{"bad":"luck"}"#, 400, "no such"),
            (
                "sources/stripe/send",
                r#"{"to":"http://192.0.2.1"}"#,
                400,
                "unknown field",
            ),
            ("sources/other/send", "{}", 404, "no source"),
            ("sources/asana/enroll", r#"{"for":60}"#, 200, "60"),
            ("sources/asana/enroll", r#"{"ticket":"t","close":true}"#, 200, "true"),
            ("sources/asana/enroll", r#"{"for":0}"#, 400, "1 s to 1 h"),
            ("sources/asana/enroll", r#"{"for":3601}"#, 400, "1 s to 1 h"),
            ("sources/asana/enroll", "{}", 400, "either"),
            ("sources/stripe/enroll", r#"{"for":60}"#, 409, "hands out no secret"),
            ("sources/UPPER/enroll", r#"{"for":60}"#, 404, "no source"),
        ] {
            let (code, text) = admin.post(&format!("/api/v1/{path}"), headers, body).await;
            assert_eq!(code, status, "{path} {body}: {text}");
            assert!(text.contains(part), "{path} {body}: {text}");
        }
        assert_eq!(*admin.sidecar.level.lock().expect("no panic"), Some(Level::Debug));
    });
}
