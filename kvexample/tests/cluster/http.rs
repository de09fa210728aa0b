//! What the HTTP API promises.

use crate::common::{Cluster, Options, PATIENCE, eventually, hasty, send};
use kvexample::client::key_path;
use kvexample::error::Error;
use kvexample::httpapi::Limits;
use std::time::Duration;

#[test]
fn a_write_through_any_node_is_read_from_every_node() {
    let cluster = Cluster::start(3, Options::default());
    cluster.leader();
    let mut last = 0;
    for writer in 1..=3 {
        let key = format!("key-{writer}");
        let put = cluster
            .client(writer)
            .put(key.as_bytes(), b"v", None)
            .unwrap();
        assert!(put.index > last && put.term > 0, "entries come in order");
        last = put.index;
        for reader in 1..=3 {
            let found = cluster
                .client(reader)
                .get(key.as_bytes(), false)
                .unwrap()
                .unwrap();
            assert_eq!(
                (found.value.as_slice(), found.index),
                (&b"v"[..], put.index)
            );
        }
    }
    let gone = cluster.client(2).delete(b"key-1", None).unwrap();
    assert!(gone.index > last);
    for reader in 1..=3 {
        assert_eq!(cluster.client(reader).get(b"key-1", false).unwrap(), None);
    }
}

#[test]
fn keys_and_values_are_any_bytes() {
    let cluster = Cluster::start(1, Options::default());
    let mut client = cluster.client(1);
    let all: Vec<u8> = (0..=255).collect();
    client.put(&all, &all, None).unwrap();
    client.put(b"empty", b"", None).unwrap();
    assert_eq!(client.get(&all, false).unwrap().unwrap().value, all);
    assert_eq!(client.get(b"empty", false).unwrap().unwrap().value, b"");

    let http = cluster.http(1);
    let put = send("PUT", &format!("{http}/kv/a%2Fb/c%20d"), &[], Some(b"1"));
    assert_eq!((put.status, put.body.len()), (204, 0));
    let get = send("GET", &format!("{http}{}", key_path(b"a/b/c d")), &[], None);
    assert_eq!((get.status, get.body.as_slice()), (200, &b"1"[..]));
    assert_eq!(get.header("content-type"), "application/octet-stream");
    for name in ["x-raft-index", "x-raft-term"] {
        assert_eq!(get.header(name), put.header(name));
    }
    assert_eq!(
        get.header("etag"),
        format!("\"{}\"", put.header("x-raft-index"))
    );

    for (path, status) in [
        ("/kv/", 400),
        ("/kv", 400),
        ("/kv/%zz", 400),
        ("/kv/none", 404),
        ("/", 404),
        ("/foo", 404),
    ] {
        let answer = send("GET", &format!("{http}{path}"), &[], None);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.error().1, "no");
    }
    let long = "k".repeat(kvexample::httpapi::MAX_KEY + 1);
    assert_eq!(
        send("GET", &format!("{http}/kv/{long}"), &[], None).status,
        413
    );
    for (method, path, allowed) in [
        ("POST", "/kv/a", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/status", "GET, HEAD"),
        ("DELETE", "/backup", "GET, HEAD"),
        ("DELETE", "/members", "GET, HEAD, POST"),
        ("GET", "/members/1", "DELETE"),
        ("GET", "/members/1/promote", "POST"),
    ] {
        let body = (method == "POST").then_some(&b""[..]);
        let answer = send(method, &format!("{http}{path}"), &[], body);
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    for path in ["/kv/empty", "/status", "/members", "/backup"] {
        let answer = send("HEAD", &format!("{http}{path}"), &[], None);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    let invalid = send(
        "POST",
        &format!("{http}/members"),
        &[],
        Some(br#"{"id":0,"addr":"h:1","learner":false}"#),
    );
    assert_eq!(invalid.status, 400);
    assert_eq!(invalid.error().0, "invalid_member");
}

#[test]
fn if_match_compares_and_sets() {
    let cluster = Cluster::start(1, Options::default());
    let mut client = cluster.client(1);
    let first = client.put(b"k", b"1", Some(0)).unwrap();
    let refused = client.put(b"k", b"2", Some(0)).unwrap_err();
    assert_eq!(word(&refused), "if_match_failed");
    let second = client.put(b"k", b"2", Some(first.index)).unwrap();
    assert_eq!(
        word(&client.put(b"k", b"3", Some(first.index)).unwrap_err()),
        "if_match_failed"
    );
    assert_eq!(
        word(&client.delete(b"k", Some(first.index)).unwrap_err()),
        "if_match_failed"
    );
    client.delete(b"k", Some(second.index)).unwrap();
    assert_eq!(client.get(b"k", false).unwrap(), None);

    let url = format!("{}/kv/k", cluster.http(1));
    let absent = send("PUT", &url, &[("if-match", "*")], Some(b"4"));
    assert_eq!(absent.status, 412);
    assert_eq!(
        absent.header("x-raft-index"),
        "0",
        "what If-Match would have to be"
    );
    assert_eq!(send("PUT", &url, &[], Some(b"4")).status, 204);
    assert_eq!(
        send("PUT", &url, &[("if-match", "*")], Some(b"5")).status,
        204
    );
    assert_eq!(
        send("PUT", &url, &[("if-match", "soon")], Some(b"6")).status,
        400
    );
}

fn word(e: &Error) -> &str {
    match e {
        Error::Refused { body, .. } => &body.error,
        _ => "no answer of ours",
    }
}

#[test]
fn a_repeated_request_takes_effect_once() {
    let cluster = Cluster::start(3, Options::default());
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let url = |id| format!("{}/kv/counter", cluster.http(id));
    let put = |id, request: &str, body: &[u8]| {
        send("PUT", &url(id), &[("x-request-id", request)], Some(body))
    };

    let first = put(leader, "me-1", b"1");
    assert_eq!(first.status, 204);
    assert_eq!(put(leader, "me-2", b"2").status, 204);
    let again = put(follower, "me-1", b"1");
    assert_eq!(again.status, 204);
    assert_eq!(
        again.header("x-raft-index"),
        first.header("x-raft-index"),
        "the first one's answer"
    );
    let value = cluster
        .client(leader)
        .get(b"counter", false)
        .unwrap()
        .unwrap()
        .value;
    assert_eq!(
        value, b"2",
        "the repetition did not overwrite what came after"
    );

    let other = put(leader, "me-1", b"3");
    assert_eq!(
        (other.status, other.error().0.as_str()),
        (422, "request_reused")
    );
    assert_eq!(put(leader, "me-100", b"4").status, 204);
    let old = put(leader, "me-3", b"5");
    assert_eq!(
        (old.status, old.error()),
        (409, ("request_too_old".into(), "unknown".into()))
    );
    assert_eq!(put(leader, "nonsense", b"6").status, 400);

    let condition = |index: &str| {
        let headers = [("x-request-id", "you-1"), ("if-match", index)];
        send("DELETE", &url(leader), &headers, None)
    };
    let index = put(leader, "me-101", b"7")
        .header("x-raft-index")
        .to_owned();
    assert_eq!(condition(&index).status, 204);
    assert_eq!(
        condition(&index).status,
        204,
        "the condition held the first time"
    );
}

#[test]
fn a_minority_answers_stale_reads_only_and_says_what_became_of_writes() {
    let options = Options {
        request_timeout: Duration::from_millis(1500),
        ..Options::default()
    };
    let mut cluster = Cluster::start(3, options);
    let leader = cluster.leader();
    cluster.client(leader).put(b"k", b"v", None).unwrap();
    for id in 1..=3 {
        cluster.caught_up(id);
    }
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let http = cluster.http(leader).to_owned();
    // It still takes itself for the leader, so it accepts what it cannot commit.
    let lost = send(
        "PUT",
        &format!("{http}/kv/k"),
        &[("x-request-id", "a-1")],
        Some(b"w"),
    );
    let (error, applied) = lost.error();
    assert!(
        matches!(
            (lost.status, error.as_str()),
            (504, "timeout") | (503, "leadership_lost")
        ),
        "{} {error}",
        lost.status
    );
    assert_eq!(applied, "unknown");
    eventually("the leader to step down", || {
        cluster.status(leader).filter(|s| s.leader == 0)
    });
    let refused = send("PUT", &format!("{http}/kv/k"), &[], Some(b"w"));
    assert_eq!(
        (refused.status, refused.error()),
        (503, ("no_leader".into(), "no".into()))
    );
    let read = send("GET", &format!("{http}/kv/k"), &[], None);
    assert_eq!((read.status, read.error().0.as_str()), (503, "no_leader"));
    let stale = send("GET", &format!("{http}/kv/k?consistency=stale"), &[], None);
    assert_eq!((stale.status, stale.body.as_slice()), (200, &b"v"[..]));
    assert_eq!(
        send("GET", &format!("{http}/kv/k?consistency=maybe"), &[], None).status,
        400
    );
    assert_eq!(
        cluster.client(leader).members(true).unwrap().members.len(),
        3
    );
    assert!(hasty(&http).members(false).is_err());
}

#[test]
fn limits_have_their_own_statuses() {
    // Nobody is elected in time, so what is taken on stays in flight.
    let limits = Limits {
        body: 8,
        bytes: 10,
        requests: 2,
        ..Limits::default()
    };
    let slow = Options {
        limits,
        election_ticks: 10_000,
        request_timeout: Duration::from_secs(600),
        ..Options::default()
    };
    let cluster = Cluster::start(3, slow);
    let url = format!("{}/kv/k", cluster.http(1));
    let big = send("PUT", &url, &[], Some(b"123456789"));
    assert_eq!(
        (big.status, big.error()),
        (413, ("too_large".into(), "no".into()))
    );

    let hanging = |body: &'static [u8]| {
        let url = format!("http://{url}");
        std::thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            // Tried until it is taken on; then it ends when the server is stopped.
            while agent
                .put(&url)
                .send(body)
                .is_ok_and(|answer| answer.status() == 429)
            {}
        })
    };
    let busy = |body: &'static [u8]| {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_millis(300)))
            .build()
            .into();
        let mut answer = agent.put(format!("http://{url}")).send(body).ok()?;
        let body: serde_json::Value =
            serde_json::from_slice(&answer.body_mut().read_to_vec().ok()?).ok()?;
        (answer.status() == 429).then(|| body["message"].as_str().unwrap().to_owned())
    };
    let first = hanging(b"12345678");
    let message = eventually("the bytes to be used up", || busy(b"123"));
    assert_eq!(message, "too many bytes in flight on this node");
    let second = hanging(b"1");
    let message = eventually("the requests to be used up", || busy(b""));
    assert_eq!(message, "too many requests in flight on this node");
    assert_eq!(
        send("GET", &format!("{}/status", cluster.http(1)), &[], None).status,
        200
    );
    drop(cluster);
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn status_tells_who_is_who() {
    let cluster = Cluster::start(3, Options::default());
    let leader = cluster.leader();
    cluster.client(leader).put(b"k", b"v", None).unwrap();
    let report = eventually("progress of all three", || {
        let report = cluster.status(leader)?;
        let all = report
            .progress
            .iter()
            .all(|p| p.matched >= report.commit && p.recent_active);
        (all && report.connections.iter().all(|c| c.connected)).then_some(report)
    });
    assert_eq!(
        (report.id, report.leader, report.role.as_str()),
        (leader, leader, "leader")
    );
    assert_eq!(report.configuration.voters, [1, 2, 3]);
    assert_eq!(
        (report.progress.len(), report.connections.len(), report.keys),
        (3, 2, 1)
    );
    assert_eq!(report.applied, report.commit);
    let other = cluster.report(cluster.follower());
    assert_eq!(
        (other.role.as_str(), other.leader, other.term),
        ("follower", leader, report.term)
    );
    assert!(other.progress.is_empty());
}

#[test]
fn a_write_that_its_dead_leader_took_along_is_proposed_again_under_its_id() {
    // Long enough that a busy machine holds one election, not several.
    let options = Options {
        election_ticks: 40,
        request_timeout: PATIENCE,
        ..Options::default()
    };
    let mut cluster = Cluster::start(3, options);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let url = format!("{}/kv/k", cluster.http(follower));
    cluster.kill(leader);
    // The follower does not know yet, and forwards this to nowhere.
    let put = send("PUT", &url, &[("x-request-id", "me-1")], Some(b"v"));
    assert_eq!(put.status, 204, "{}", String::from_utf8_lossy(&put.body));
    let index = put.header("x-raft-index").parse::<u64>().unwrap();
    let found = cluster.client(follower).get(b"k", false).unwrap().unwrap();
    assert_eq!((found.value.as_slice(), found.index), (&b"v"[..], index));
}

#[test]
fn the_largest_value_goes_through_a_follower_and_a_larger_one_nowhere() {
    let cluster = Cluster::start(3, Options::default());
    cluster.leader();
    let max = Limits::default().body;
    let value: Vec<u8> = (0..=255).cycle().take(max).collect();
    let follower = cluster.follower();
    cluster.client(follower).put(b"big", &value, None).unwrap();
    assert_eq!(
        cluster
            .client(cluster.leader())
            .get(b"big", false)
            .unwrap()
            .unwrap()
            .value,
        value
    );

    let url = format!("{}/kv/bigger", cluster.http(follower));
    let bigger = vec![0; max + 1];
    let told = send("PUT", &url, &[], Some(&bigger));
    assert_eq!(
        (told.status, told.error()),
        (413, ("too_large".into(), "no".into()))
    );
    // Without a length, the limit is met on the way.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut reader = &bigger[..];
    let chunked = agent
        .put(format!("http://{url}"))
        .send(ureq::SendBody::from_reader(&mut reader));
    assert_eq!(chunked.unwrap().status(), 413);
    assert_eq!(
        cluster.client(follower).get(b"bigger", false).unwrap(),
        None
    );
}
