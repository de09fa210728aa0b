//! What is on disk: coming back from it, and not coming back with another.

use crate::common::{Cluster, Options, Sockets, TOKEN, eventually, small_disk, snapshots_after};
use kvexample::error::Error;
use kvexample::{DataDir, Exit, Place as Member};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn after_a_restart_of_all_every_acknowledged_write_is_there() {
    // Once by log alone, once by snapshot and log.
    for disk in [small_disk(), snapshots_after(20, 5)] {
        let options = Options {
            disk,
            ..Options::default()
        };
        let mut cluster = Cluster::start(3, options);
        let mut client = cluster.any();
        let mut last = 0;
        for n in 0..100u32 {
            let key = format!("k{n}");
            let put = client.put(key.as_bytes(), &n.to_be_bytes(), None).unwrap();
            last = put.index;
        }
        for id in 1..=3 {
            cluster.kill(id);
        }
        for id in 1..=3 {
            cluster.restart(id);
        }
        cluster.leader();
        for id in 1..=3 {
            let mut client = cluster.client(id);
            for n in 0..100u32 {
                let found = client.get(format!("k{n}").as_bytes(), n > 0).unwrap();
                assert_eq!(found.unwrap().value, n.to_be_bytes(), "node {id}, k{n}");
            }
            let found = client.get(b"k99", true).unwrap().unwrap();
            assert_eq!(found.index, last, "at its old place in the log");
            let members = client.members(false).unwrap().members;
            let addrs: Vec<_> = members.iter().map(|m| (m.id, m.addr.clone())).collect();
            assert_eq!(addrs, cluster.members, "membership comes from disk");
        }
        cluster.any().put(b"after", b"it", None).unwrap();
    }
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let mut cluster = Cluster::start(1, Options::default());
    cluster.leader();
    cluster.kill(1);
    let list = cluster.first.clone();
    let other = [(1, "127.0.0.1:1".to_owned())];
    let log = crate::common::logger();
    let open = |id, token, members: &[(u64, String)], join| {
        let member = Member {
            id,
            token,
            members,
            join,
            log: &log,
        };
        DataDir::open(
            &cluster.path(1),
            member,
            small_disk(),
            &AtomicBool::new(false),
        )
    };
    for (id, token, members, join, says) in [
        (2, TOKEN, &list[..], false, "belongs to node id 1, not 2"),
        (1, TOKEN, &other[..], false, "belongs to cluster id"),
        (1, "else", &list[..], false, "belongs to cluster id"),
        (1, "else", &[], false, "another token"),
        (1, "else", &other[..], true, "another token"),
    ] {
        let e = open(id, token, members, join).unwrap_err();
        assert!(e.to_string().contains(says), "{e}");
        assert_eq!(e.exit_code(), 1);
    }
    let data = open(1, TOKEN, &[], false).unwrap();
    assert_eq!(data.cluster_id(), cluster.id());
    assert_eq!(data.own_address().unwrap(), list[0].1);
    let again = open(1, TOKEN, &[], false).unwrap_err();
    assert!(again.to_string().contains("locked"), "{again}");
}

#[test]
fn a_node_that_lost_its_disk_does_not_begin_anew_under_its_id() {
    let mut cluster = Cluster::start(3, Options::default());
    let lost = cluster.follower();
    cluster.any().put(b"k", b"v", None).unwrap();
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.path(lost)).unwrap();
    let addr = cluster.members[usize::try_from(lost).unwrap() - 1]
        .1
        .clone();
    let bind = || {
        Sockets::on(eventually("its port", || {
            std::net::TcpListener::bind(&addr).ok()
        }))
    };
    let refused = format!("remove id {lost}, join under a new id");

    // Neither as a first member, which asks before it begins …
    let Err(Error::Stopped(why)) = cluster.try_add(lost, bind(), false) else {
        panic!("it was let in")
    };
    assert!(why.contains(&refused), "{why}");
    // … nor as one that joins, which hears it when it connects.
    std::fs::remove_dir_all(cluster.path(lost)).unwrap();
    cluster.add(lost, bind(), true);
    let Exit::Failed(why) = cluster.ended(lost) else {
        panic!("it was let in")
    };
    assert!(why.contains(&refused), "{why}");
    cluster.any().put(b"k", b"w", None).unwrap();
}

#[test]
fn the_member_table_knows_a_disk_that_a_node_never_met() {
    let mut cluster = Cluster::start(3, Options::default());
    cluster.leader();
    let lost = cluster.follower();
    eventually("its incarnation in the table", || {
        let mut client = cluster.any();
        let members = client.members(false).ok()?.members;
        let own = members.into_iter().find(|m| m.id == lost)?;
        (own.incarnation == cluster.nodes[&lost].incarnation).then_some(())
    });
    for id in 1..=3 {
        cluster.caught_up(id);
    }
    for id in 1..=3 {
        cluster.kill(id);
    }
    // The others forget whom they met; what they agreed on they know.
    for id in (1..=3).filter(|id| *id != lost) {
        std::fs::remove_file(cluster.path(id).join("member/peers")).unwrap();
        cluster.restart(id);
    }
    // What they agreed on is theirs again once one of them leads.
    cluster.any().put(b"k", b"v", None).unwrap();
    for id in (1..=3).filter(|id| *id != lost) {
        cluster.caught_up(id);
    }
    std::fs::remove_dir_all(cluster.path(lost)).unwrap();
    let addr = cluster.members[usize::try_from(lost).unwrap() - 1]
        .1
        .clone();
    let listener = eventually("its port", || std::net::TcpListener::bind(&addr).ok());
    let e = cluster
        .try_add(lost, Sockets::on(listener), false)
        .unwrap_err();
    assert!(e.to_string().contains("came back with another disk"), "{e}");
}

#[test]
fn an_older_copy_of_a_directory_is_refused() {
    let mut cluster = Cluster::start(3, Options::default());
    let back = cluster.follower();
    cluster.kill(back);
    let (path, older) = (cluster.path(back), cluster.dir.path().join("older"));
    copy(&path, &older);
    // Two more sessions that the others hear of.
    for n in 0..2u8 {
        cluster.restart(back);
        cluster.client(back).put(b"k", &[n], None).unwrap();
        cluster.kill(back);
    }
    std::fs::remove_dir_all(&path).unwrap();
    copy(&older, &path);
    cluster.restart(back);
    let Exit::Failed(why) = cluster.ended(back) else {
        panic!("it was let in")
    };
    assert!(
        why.contains("older copy of its disk")
            && why.contains(&format!("remove id {back}, join under a new id")),
        "{why}"
    );
    cluster.any().put(b"k", b"v", None).unwrap();
}
