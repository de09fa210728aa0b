//! What is on disk: coming back from it, and not coming back with another.

use crate::common::fs::{Mended, TestFs};
use crate::common::{
    Cluster, Options, PATIENCE, Sockets, TOKEN, eventually, send, small_disk, snapshots_after,
};
use kvexample::api::AddMember;
use kvexample::error::Error;
use kvexample::{DataDir, Exit, Place as Member};
use raftpb::{Message, MessageType, Snapshot, SnapshotStatus};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use transport_tcp::{BoxError, Config, Handler, Session, Transport};

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
fn a_single_node_serves_without_waiting_for_an_election_timeout() {
    // Ticks that never come.
    let options = Options {
        election_ticks: 1_000_000,
        ..Options::default()
    };
    let mut cluster = Cluster::start(1, options);
    cluster.any().put(b"k", b"v", None).unwrap();
    cluster.kill(1);
    cluster.restart(1);
    let found = cluster.client(1).get(b"k", false).unwrap().unwrap();
    assert_eq!(found.value, b"v");
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

#[test]
fn a_copy_of_the_last_session_stops_when_the_leader_counts_on_what_it_lost() {
    // Where the node came to lead meanwhile, nobody counts on what it acknowledged before.
    let told = (0..5).find_map(|_| bring_back_last_session());
    let (id, why) = told.expect("it led each time");
    assert!(
        why.contains("older copy") && why.contains(&format!("remove id {id}, join under a new id")),
        "{why}"
    );
}

fn bring_back_last_session() -> Option<(u64, String)> {
    let mut cluster = Cluster::start(3, Options::default());
    let back = cluster.follower();
    cluster.any().put(b"k", b"1", None).unwrap();
    cluster.caught_up(back);
    cluster.kill(back);
    let (path, older) = (cluster.path(back), cluster.dir.path().join("older"));
    copy(&path, &older);
    // The session after the copied one, in which it acknowledges more; and then it is as if that had never been.
    cluster.restart(back);
    for n in 0..20u8 {
        cluster.any().put(b"k", &[n], None).unwrap();
    }
    cluster.caught_up(back);
    let leader = cluster.leader();
    if leader == back {
        return None;
    }
    // The same session again: the files of this one, but an older log.
    cluster.kill(back);
    for part in ["member/wal", "member/snap"] {
        std::fs::remove_dir_all(path.join(part)).unwrap();
        copy(&older.join(part), &path.join(part));
    }
    cluster.restart(back);
    let Exit::Failed(why) = cluster.ended(back) else {
        panic!("it went on")
    };
    cluster.any().put(b"k", b"v", None).unwrap();
    Some((back, why))
}

/// More than usual, so that a busy machine is not taken for a dead leader.
const ELECTION_TICKS: u32 = 40;

/// A cluster of three on a file system that can be full or hang.
/// In this order: what is dropped last is the cluster.
fn on_test_fs() -> (Cluster, Mended) {
    let fs = TestFs::default();
    let mut disk = small_disk();
    (disk.wal.segment_size, disk.wal.reserve) = (1 << 16, 1 << 16);
    disk.wal.vfs = Arc::new(fs.clone());
    let options = Options {
        disk,
        election_ticks: ELECTION_TICKS,
        request_timeout: PATIENCE,
        ..Options::default()
    };
    let cluster = Cluster::start(3, options);
    cluster.leader();
    (cluster, Mended(fs))
}

#[test]
fn a_leader_with_a_full_disk_refuses_writes_with_the_reason_and_goes_on_when_there_is_room() {
    let (cluster, fs) = on_test_fs();
    let leader = cluster.leader();
    let url = |n: u32| format!("{}/kv/k{n}", cluster.http(leader));
    let value = vec![7; 4000];
    assert_eq!(send("PUT", &url(0), &[], Some(&value)).status, 204);
    let term = cluster.report(leader).term;
    fs.fill(&cluster.path(leader));
    let mut written = 0;
    let refused = eventually("the disk to be full", || {
        let answer = send("PUT", &url(written + 1), &[], Some(&value));
        match answer.status {
            204 => {
                written += 1;
                None
            }
            _ => Some(answer),
        }
    });
    assert_eq!(
        (refused.status, refused.error()),
        (507, ("disk_full".into(), "no".into()))
    );
    let report = cluster.report(leader);
    assert_eq!((report.disk_full, report.leader), (true, leader));
    // Reads go on, through all, and what was answered is there; nobody held an election.
    for id in 1..=3 {
        let mut client = cluster.client(id);
        for n in 0..=written {
            let found = client.get(format!("k{n}").as_bytes(), false).unwrap();
            assert_eq!(found.unwrap().value, value, "node {id}, k{n}");
        }
    }
    assert_eq!(cluster.report(leader).term, term);
    fs.mend();
    // Without a restart.
    eventually("writes to go on", || {
        (send("PUT", &url(written + 1), &[], Some(&value)).status == 204).then_some(())
    });
    let report = cluster.report(leader);
    assert_eq!((report.disk_full, report.term), (false, term));
}

#[test]
fn a_follower_with_a_full_disk_acknowledges_nothing_and_catches_up_when_there_is_room() {
    let (cluster, fs) = on_test_fs();
    let (leader, full) = (cluster.leader(), cluster.follower());
    fs.fill(&cluster.path(full));
    let mut client = cluster.client(leader);
    let (value, mut written) = (vec![7; 4000], 0u32);
    eventually("its disk to be full", || {
        client
            .put(format!("k{written}").as_bytes(), &value, None)
            .unwrap();
        written += 1;
        cluster.status(full).filter(|s| s.disk_full)
    });
    for _ in 0..20 {
        client
            .put(format!("k{written}").as_bytes(), &value, None)
            .unwrap();
        written += 1;
    }
    let of = |id: u64| {
        let report = cluster.status(leader)?;
        let progress = report.progress.into_iter().find(|p| p.id == id)?;
        Some((progress.matched, report.commit))
    };
    let (matched, commit) = of(full).unwrap();
    assert!(matched + 20 <= commit, "{matched} of {commit}");
    fs.mend();
    cluster.caught_up(full);
    let found = cluster.client(full).get(b"k0", false).unwrap().unwrap();
    assert_eq!(found.value, value);
}

/// On a full disk nothing new is applied, so what would make room must not wait for that.
#[test]
fn a_snapshot_that_found_no_room_is_tried_again_without_new_writes() {
    let fs = TestFs::default();
    let mut disk = snapshots_after(20, 5);
    disk.wal.vfs = Arc::new(fs.clone());
    let options = Options {
        disk,
        ..Options::default()
    };
    let cluster = Cluster::start(1, options);
    let fs = Mended(fs);
    let leader = cluster.leader();
    fs.fill(&cluster.path(leader).join("member/snap"));
    let mut client = cluster.client(leader);
    for n in 0..40u32 {
        client.put(&n.to_be_bytes(), b"v", None).unwrap();
    }
    // One may be under way, and one more follow the last write.
    let before = fs.refused();
    eventually("a third try", || (fs.refused() > before + 2).then_some(()));
    fs.mend();
    eventually("a snapshot", || {
        (cluster.status(leader)?.snapshot > 0).then_some(())
    });
}

#[test]
fn a_hanging_disk_holds_up_writes_but_neither_heartbeats_nor_reads() {
    let (cluster, fs) = on_test_fs();
    let leader = cluster.leader();
    cluster.client(leader).put(b"k", b"1", None).unwrap();
    for id in 1..=3 {
        cluster.caught_up(id);
    }
    let term = cluster.report(leader).term;
    fs.hang(cluster.dir.path());
    let url = format!("{}/kv/k", cluster.http(leader));
    let writing = std::thread::spawn(move || send("PUT", &url, &[], Some(b"2")));
    // For as long as three leaders would have been given up.
    let (begun, timeout) = (Instant::now(), cluster.options.tick * ELECTION_TICKS);
    while begun.elapsed() < timeout * 3 {
        let found = cluster.client(leader).get(b"k", false).unwrap().unwrap();
        assert_eq!(found.value, b"1");
    }
    for id in 1..=3 {
        let report = cluster.report(id);
        assert_eq!((report.term, report.leader), (term, leader), "no election");
    }
    assert!(!writing.is_finished(), "nothing is durable");
    fs.mend();
    assert_eq!(writing.join().unwrap().status, 204);
    assert_eq!(cluster.report(leader).term, term);
}

#[test]
fn a_leaders_disk_and_its_followers_write_at_the_same_time() {
    let (cluster, fs) = on_test_fs();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    fs.hang(&cluster.path(leader));
    let url = format!("{}/kv/k", cluster.http(leader));
    let writing = std::thread::spawn(move || send("PUT", &url, &[], Some(b"v")));
    // Two of three are a majority, and neither waited for the third.
    eventually("the write to be applied on a follower", || {
        cluster.client(follower).get(b"k", true).unwrap()
    });
    assert!(!writing.is_finished(), "the leader's disk has it, too");
    fs.mend();
    assert_eq!(writing.join().unwrap().status, 204);
}

#[test]
fn a_member_may_be_added_with_the_disk_that_it_must_have() {
    let mut cluster = Cluster::start(1, Options::default());
    let sockets = Sockets::bind();
    let add = AddMember {
        id: Some(2),
        addr: sockets.raft_addr.clone(),
        learner: true,
        incarnation: 12_345,
        force: false,
    };
    cluster.any().add_member(&add).unwrap();
    cluster.members.push((2, add.addr.clone()));
    cluster.add(2, sockets, true);
    let Exit::Failed(why) = cluster.ended(2) else {
        panic!("it was let in")
    };
    assert!(why.contains("remove id 2, join under a new id"), "{why}");
}

/// A member that only hears how its snapshots were taken.
struct Reports(mpsc::Sender<SnapshotStatus>);

impl Handler for Reports {
    fn process(&self, _: Message) -> Result<(), BoxError> {
        Ok(())
    }

    fn is_id_removed(&self, _: u64) -> bool {
        false
    }

    fn report_unreachable(&self, _: u64) {}

    fn report_snapshot(&self, _: u64, status: SnapshotStatus) {
        let _ = self.0.send(status);
    }
}

/// Stored before it is looked into, it would keep the node from ever coming back.
#[test]
fn a_snapshot_that_does_not_decode_is_refused_before_it_is_stored() {
    let mut cluster = Cluster::start(3, Options::default());
    cluster.any().put(b"k", b"v", None).unwrap();
    let mut followers = vec![1, 2, 3];
    let leader = cluster.leader();
    followers.retain(|id| *id != leader);
    let (to, from) = (followers[0], followers[1]);
    cluster.caught_up(to);
    let config = Config {
        incarnation: cluster.nodes[&from].incarnation,
        session: Session {
            count: 100,
            random: 1,
        },
        ..Config::new(cluster.id(), from)
    };
    cluster.kill(from);
    let (tell, told) = mpsc::channel();
    let log = crate::common::logger();
    let liar = Transport::bind(config, "127.0.0.1:0", Arc::new(Reports(tell)), &log).unwrap();
    liar.add_peer(to, &cluster.nodes[&to].raft).unwrap();
    let term = cluster.report(to).term;
    let mut snapshot = Snapshot {
        data: "no state of ours".into(),
        ..Snapshot::default()
    };
    snapshot.metadata.term = term + 1;
    snapshot.metadata.index = 1_000_000;
    snapshot.metadata.conf_state.voters = vec![1, 2, 3];
    liar.send([Message {
        to,
        from,
        term: term + 1,
        snapshot: Some(Box::new(snapshot)),
        ..Message::new(MessageType::MsgSnap)
    }]);
    let status = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(status, SnapshotStatus::Failure);
    // Nothing changed, on the disk neither.
    let report = cluster.report(to);
    assert_eq!((report.term, report.snapshot), (term, 0));
    liar.stop();
    cluster.kill(to);
    cluster.restart(to);
    cluster.any().put(b"k", b"w", None).unwrap();
    cluster.caught_up(to);
    let found = cluster.client(to).get(b"k", false).unwrap().unwrap();
    assert_eq!(found.value, b"w");
}
