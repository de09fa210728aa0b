//! Changing who is in the cluster, and what is refused.

use crate::common::proxy::Proxy;
use crate::common::{Cluster, Options, Sockets, eventually, send, snapshots_after};
use kvexample::Exit;
use kvexample::api::AddMember;
use kvexample::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use transport_tcp::{Answer, Hello, Kind, Refusal};

fn refusal(e: Error) -> (u16, String) {
    match e {
        Error::Refused { status, body, .. } => (status, body.error),
        e => panic!("not refused: {e}"),
    }
}

fn add(addr: &str) -> AddMember {
    AddMember {
        id: None,
        addr: addr.into(),
        learner: true,
        incarnation: 0,
        force: false,
    }
}

/// The leader's storage says "later" until such a snapshot is read, and is asked again.
#[test]
fn a_learner_catches_up_by_a_snapshot_that_is_read_aside() {
    let options = Options {
        disk: snapshots_after(20, 5),
        ..Options::default()
    };
    let mut cluster = Cluster::start(1, options);
    let (mut client, value) = (cluster.any(), vec![7; 16 << 10]);
    for n in 0..150u32 {
        client.put(&n.to_be_bytes(), &value, None).unwrap();
    }
    eventually("a snapshot of more than 1 MiB", || {
        cluster.status(1).filter(|s| s.snapshot > 100)
    });
    let id = cluster.join(true);
    cluster.caught_up(id);
    let report = cluster.report(id);
    assert!(report.snapshot > 100, "it cannot have come by log alone");
    assert_eq!(report.keys, 150);
    // Who leads comes back from it, too.
    cluster.kill(1);
    cluster.restart(1);
    let found = cluster.client(1).get(&9u32.to_be_bytes(), false).unwrap();
    assert_eq!(found.unwrap().value, value);
}

#[test]
fn a_learner_joins_catches_up_by_snapshot_and_takes_a_leavers_place() {
    let options = Options {
        disk: snapshots_after(20, 5),
        ..Options::default()
    };
    let mut cluster = Cluster::start(3, options);
    let mut client = cluster.any();
    for n in 0..150u32 {
        client
            .put(format!("k{n}").as_bytes(), &n.to_be_bytes(), None)
            .unwrap();
    }
    let leader = cluster.leader();
    eventually("a snapshot", || {
        cluster.status(leader).filter(|s| s.snapshot > 100)
    });

    let id = cluster.join(true);
    assert_eq!(id, 4, "the first id never used");
    cluster.caught_up(4);
    let report = cluster.report(4);
    assert!(report.snapshot > 100, "it cannot have come by log alone");
    assert_eq!((report.role.as_str(), report.keys), ("learner", 150));
    let known = cluster.client(4).members(true).unwrap().members;
    let addrs: Vec<_> = known.iter().map(|m| (m.id, m.addr.clone())).collect();
    assert_eq!(addrs, cluster.members, "addresses come with the snapshot");

    let follower = cluster.follower();
    let list = cluster.client(follower).promote_member(4, false).unwrap();
    assert!(list.members.iter().all(|m| !m.learner), "{list:?}");
    assert_eq!(
        refusal(
            cluster
                .client(follower)
                .promote_member(4, false)
                .unwrap_err()
        ),
        (409, "already_voter".into())
    );

    // The one that leads is removed: it tells the client, stops, and the others go on.
    let leader = cluster.leader();
    cluster.client(leader).remove_member(leader, false).unwrap();
    assert_eq!(cluster.ended(leader), Exit::Removed);
    let mut client = cluster.any();
    client.put(b"after", b"it", None).unwrap();
    for id in cluster.nodes.keys() {
        let mut one = cluster.client(*id);
        assert_eq!(one.get(b"after", false).unwrap().unwrap().value, b"it");
        assert_eq!(
            one.get(b"k149", false).unwrap().unwrap().value,
            149u32.to_be_bytes()
        );
    }
    let reuse = AddMember {
        id: Some(leader),
        ..add("127.0.0.1:1")
    };
    assert_eq!(
        refusal(client.add_member(&reuse).unwrap_err()),
        (409, "id_used_up".into())
    );
}

#[test]
fn what_would_endanger_the_cluster_is_refused_unless_forced() {
    let mut cluster = Cluster::start(3, Options::default());
    let leader = cluster.leader();
    let mut client = cluster.any();

    // A learner that nobody started cannot be promoted.
    let nobody = crate::common::free_addr();
    let list = client.add_member(&add(&nobody)).unwrap();
    assert_eq!(list.id, Some(4));
    assert_eq!(
        refusal(client.promote_member(4, false).unwrap_err()),
        (409, "learner_not_ready".into())
    );
    assert_eq!(
        refusal(client.add_member(&add(&nobody)).unwrap_err()),
        (409, "already_member".into())
    );
    client.remove_member(4, false).unwrap();
    assert_eq!(
        refusal(client.promote_member(4, false).unwrap_err()),
        (409, "id_used_up".into())
    );
    assert_eq!(
        refusal(client.remove_member(77, false).unwrap_err()),
        (404, "unknown_member".into())
    );
    assert_eq!(
        client.add_member(&add(&nobody)).unwrap().id,
        Some(5),
        "4 is used up"
    );
    client.remove_member(5, false).unwrap();

    // With one of three gone, neither a voter that is not running nor the loss of a running one can be afforded.
    let gone = cluster.follower();
    cluster.kill(gone);
    let mut client = cluster.any();
    let voter = AddMember {
        learner: false,
        ..add(&nobody)
    };
    assert_eq!(
        refusal(client.add_member(&voter).unwrap_err()),
        (409, "quorum_at_risk".into())
    );
    let running = *cluster.nodes.keys().find(|id| **id != leader).unwrap();
    assert_eq!(
        refusal(client.remove_member(running, false).unwrap_err()),
        (409, "quorum_at_risk".into())
    );
    client.remove_member(gone, false).unwrap();

    // Two voters are left; one more that is not running would need both of them and is refused, by force it is not.
    let list = client
        .add_member(&AddMember {
            force: true,
            ..voter
        })
        .unwrap();
    assert_eq!(list.members.len(), 3);
    client.put(b"still", b"works", None).unwrap();
    let body = format!(r#"{{"addr":"{nobody}","learner":true,"colour":"red"}}"#);
    let url = format!("{}/members", cluster.http(leader));
    assert_eq!(send("POST", &url, &[], Some(body.as_bytes())).status, 400);
    assert_eq!(send("DELETE", &format!("{url}/x"), &[], None).status, 400);
}

#[test]
fn the_last_voter_stays() {
    let cluster = Cluster::start(1, Options::default());
    cluster.leader();
    let refused = cluster.client(1).remove_member(1, true).unwrap_err();
    assert_eq!(refusal(refused), (409, "last_voter".into()));
}

#[test]
fn a_repeated_addition_adds_one_member() {
    let cluster = Cluster::start(3, Options::default());
    cluster.leader();
    let body = br#"{"addr":"127.0.0.1:1","learner":true}"#;
    // A follower may not know yet where the leader's HTTP API is.
    let post = |id: u64| {
        eventually("the leader to be in reach", || {
            let url = format!("{}/members", cluster.http(id));
            let answer = send("POST", &url, &[("x-request-id", "op-1")], Some(body));
            (answer.status != 503).then_some(answer)
        })
    };
    let (first, again) = (post(cluster.follower()), post(cluster.leader()));
    assert_eq!((first.status, again.status), (201, 201), "{first:?}");
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.json()["members"].as_array().unwrap().len(), 4);
    assert_eq!(first.header("x-raft-index"), again.header("x-raft-index"));
}

#[test]
fn a_second_change_is_refused_while_one_is_open() {
    let mut cluster = Cluster::start(
        3,
        Options {
            election_ticks: 60,
            ..Options::default()
        },
    );
    let leader = cluster.leader();
    // Without a majority the first change stays open, for as long as the leader does not notice.
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let url = format!("{}/members", cluster.http(leader));
    let body = |n: u64| format!(r#"{{"addr":"127.0.0.1:{n}","learner":true}}"#);
    let open = {
        let (url, body) = (url.clone(), body(1));
        std::thread::spawn(move || send("POST", &url, &[], Some(body.as_bytes())))
    };
    // Until the first is under way, this one may be the first, and is then itself refused or left open.
    let second = eventually("a refusal", || {
        let answer = send("POST", &url, &[], Some(body(2).as_bytes()));
        (answer.status == 409 || answer.error().0 == "no_leader").then_some(answer)
    });
    let first = open.join().unwrap();
    let errors = [first.error().0, second.error().0];
    assert!(
        errors.iter().any(|e| e == "change_in_progress"),
        "{errors:?}"
    );
}

#[test]
fn a_joiner_that_comes_too_early_tries_again() {
    let mut cluster = Cluster::start(3, Options::default());
    cluster.leader();
    let sockets = Sockets::bind();
    let addr = sockets.raft_addr.clone();
    cluster.add(9, sockets, true);
    eventually("the joiner to be turned away", || {
        let report = cluster.status(9)?;
        let turned_away = |e: &Option<String>| {
            e.as_ref()
                .is_some_and(|e| e.contains("not known here (yet)"))
        };
        report
            .connections
            .iter()
            .any(|c| turned_away(&c.last_error))
            .then_some(())
    });
    let early = send("PUT", &format!("{}/kv/k", cluster.http(9)), &[], Some(b"v"));
    assert_eq!((early.status, early.error().0.as_str()), (503, "no_leader"));
    let id = AddMember {
        id: Some(9),
        ..add(&addr)
    };
    cluster.client(1).add_member(&id).unwrap();
    cluster.members.push((9, addr));
    cluster.caught_up(9);
    cluster.client(9).put(b"k", b"v", None).unwrap();
}

#[test]
fn a_removed_node_that_hears_nothing_learns_it_from_its_peers_refusal() {
    let sockets: Vec<Sockets> = (0..3).map(|_| Sockets::bind()).collect();
    let mut all = Vec::new();
    let mut proxies = Vec::new();
    for s in sockets {
        let proxy = Proxy::before(s.raft_addr.clone());
        all.push(Sockets {
            raft_addr: proxy.addr.clone(),
            ..s
        });
        proxies.push(proxy);
    }
    let mut cluster = Cluster::start_on(all, Options::default());
    let deaf = cluster.follower();
    let proxy = &proxies[usize::try_from(deaf).unwrap() - 1];
    proxy.close(true);
    proxy.cut();
    let other = *cluster.nodes.keys().find(|id| **id != deaf).unwrap();
    cluster.client(other).remove_member(deaf, false).unwrap();
    let applied = cluster.status(deaf).map(|s| s.configuration.voters.len());
    assert!(
        applied.is_none_or(|voters| voters == 3),
        "it did not hear of it from its log"
    );
    assert_eq!(cluster.ended(deaf), Exit::Removed);
}

#[test]
fn a_node_that_was_away_learns_of_the_members_that_came_meanwhile() {
    let sockets: Vec<Sockets> = (0..3).map(|_| Sockets::bind()).collect();
    let proxies: Vec<Proxy> = sockets
        .iter()
        .map(|s| Proxy::before(s.raft_addr.clone()))
        .collect();
    let all = sockets.into_iter().zip(&proxies).map(|(s, p)| Sockets {
        raft_addr: p.addr.clone(),
        ..s
    });
    let mut cluster = Cluster::start_on(all.collect(), Options::default());
    let away = cluster.follower();
    let proxy = &proxies[usize::try_from(away).unwrap() - 1];
    proxy.close(true);
    proxy.cut();
    // The two others are replaced by new ones, one after another.
    let node = cluster.nodes.remove(&away).unwrap();
    for old in (1..=3).filter(|id| *id != away) {
        let new = cluster.join(true);
        cluster.caught_up(new);
        let mut client = cluster.any();
        eventually("the promotion", || client.promote_member(new, false).ok());
        cluster.client(new).remove_member(old, true).unwrap();
        cluster.ended(old);
    }
    cluster.any().put(b"k", b"v", None).unwrap();
    proxy.close(false);
    cluster.nodes.insert(away, node);
    cluster.caught_up(away);
    let names = cluster.client(away).members(false).unwrap().members;
    assert_eq!(names.iter().map(|m| m.id).collect::<Vec<_>>(), [away, 4, 5]);
}

#[test]
fn shutting_down_hands_leadership_over_and_answers_what_is_in_flight() {
    let mut cluster = Cluster::start(
        3,
        Options {
            election_ticks: 100,
            ..Options::default()
        },
    );
    let leader = cluster.leader();
    let term = cluster.report(leader).term;
    let node = cluster.nodes.remove(&leader).unwrap();
    let http = node.http.clone();
    let exit = cluster.runtime.block_on(node.server.shut_down());
    assert_eq!(exit, Exit::Stopped);
    assert!(
        crate::common::hasty(&http).status().is_err(),
        "its port is closed"
    );
    // An election by timeout would take three seconds; by hand-over the next leader is there already.
    let next = cluster.leader();
    let report = cluster.report(next);
    assert_eq!(report.term, term + 1, "one election, asked for");
    let patience = Duration::from_secs(2);
    let mut client = kvexample::client::Client::new(vec![cluster.http(next).to_owned()], patience);
    client.put(b"k", b"v", None).unwrap();
}

/// A cluster of three of which only the first runs, and has noticed.
fn first_of_three() -> Cluster {
    let mut cluster = Cluster::start(3, Options::default());
    cluster.leader();
    cluster.caught_up(1);
    cluster.kill(2);
    cluster.kill(3);
    eventually("node 1 to know no leader", || {
        cluster.status(1).filter(|s| s.leader == 0)
    });
    cluster
}

#[test]
fn a_stranger_that_a_leaderless_node_let_in_is_let_go_when_there_is_a_leader() {
    let mut cluster = first_of_three();
    cluster.add(9, Sockets::bind(), true);
    let knows = |cluster: &Cluster| {
        let report = cluster.status(1)?;
        Some(report.connections.iter().any(|c| c.id == 9))
    };
    eventually("node 1 to let the stranger in", || {
        knows(&cluster).filter(|k| *k)
    });
    cluster.restart(2);
    cluster.restart(3);
    eventually("node 1 to let it go again", || {
        knows(&cluster).filter(|k| !*k)
    });
    cluster.client(1).put(b"k", b"v", None).unwrap();
}

#[test]
fn strangers_are_counted_and_a_probe_leaves_no_trace() {
    let mut cluster = first_of_three();
    let (id, addr) = (cluster.id(), cluster.members[0].1.clone());
    let knock = |from: u64, kind, incarnation| {
        let session = transport_tcp::Session {
            count: 9,
            random: 9,
        };
        let config = transport_tcp::Config {
            incarnation,
            session,
            address: "127.0.0.1:1".into(),
            ..transport_tcp::Config::new(id, from)
        };
        let hello = Hello::new(&config, 1, kind);
        let mut stream = TcpStream::connect(&addr).unwrap();
        stream.write_all(&hello.encode()).unwrap();
        Answer::read(&mut stream).unwrap().refusal
    };
    let turned_away = |r: Option<Refusal>| matches!(r, Some(Refusal::NotAdmitted(_)));
    for id in 20..40 {
        assert_eq!(knock(id, Kind::Probe, 1), None, "a probe takes no place");
    }
    for id in 10..18 {
        assert_eq!(knock(id, Kind::Messages, 2), None, "{id}");
    }
    for kind in [Kind::Probe, Kind::Messages] {
        assert_eq!(knock(18, kind, 1), Some(Refusal::Busy), "to be tried again");
    }
    // Who asks is remembered only once it has worked with us; then another disk is noticed.
    assert!(turned_away(knock(10, Kind::Probe, 1)));
    let of_2 = knock(2, Kind::Probe, 5);
    assert!(turned_away(of_2.clone()), "{of_2:?}");
    // A member always has a place.
    cluster.restart(2);
    cluster.leader();
    cluster.client(2).put(b"k", b"v", None).unwrap();
}
