//! What is tried, in this order. Each step returns what it showed.

use crate::cluster::{Cluster, Done};
use crate::peer::Kind;
use std::time::{Duration, Instant};

type Step = fn(&mut Cluster) -> Done<String>;

pub(crate) fn all() -> Vec<(&'static str, Step)> {
    vec![
        ("elections", elections),
        ("replication", replication),
        ("transfer", transfer),
        ("read index", read_index),
        ("partition", partition),
        ("snapshots", snapshots),
        ("joint change", joint_change),
        ("kill and rejoin", kill_and_rejoin),
        ("equal states", equal_states),
        ("nothing was misunderstood", understood),
    ]
}

/// Each kind wins one, in turn, with the other's votes: the clocks stand still, so that nobody else stands.
fn elections(c: &mut Cluster) -> Done<String> {
    let (go, rust) = (c.first(Kind::Go)?, c.first(Kind::Rust)?);
    let ids = c.ids();
    let first = elect(c, go, &ids)?;
    c.put(go, "elected", "Go")?;
    c.equal(&ids)?;
    // The others have heard from a leader lately, so they would not vote for another: their lease has to run out.
    c.cut(go, true)?;
    let rest = c.others(go);
    for id in rest.iter().filter(|id| **id != rust) {
        c.ask(*id, "tick 10")?;
    }
    let second = elect(c, rust, &rest)?;
    c.put(rust, "elected", "Rust")?;
    c.cut(go, false)?;
    c.ask_all("ticks on")?;
    c.agreed(&ids)?;
    c.equal(&ids)?;
    if first >= second {
        return Err(format!("terms {first} and {second}"));
    }
    Ok(format!("Go won term {first}, Rust won term {second}"))
}

fn elect(c: &mut Cluster, id: u64, voters: &[u64]) -> Done<u64> {
    let mut asked: Option<Instant> = None;
    c.wait(&format!("node {id} wins an election"), |c| {
        // Votes may be lost while connections are made.
        if asked.is_none_or(|at| at.elapsed() > Duration::from_millis(500)) {
            asked = Some(Instant::now());
            c.ask(id, "campaign")?;
        }
        Ok((c.status(id)?.text("role") == "leader").then_some(()))
    })?;
    let (lead, term) = c.agreed(voters)?;
    match lead == id {
        true => Ok(term),
        false => Err(format!("node {lead} leads instead of {id}")),
    }
}

/// Many entries from a leader of each kind; and a proposal that a follower of the other kind sends on.
fn replication(c: &mut Cluster) -> Done<String> {
    let ids = c.ids();
    let mut showed = Vec::new();
    for (leading, following) in Kind::BOTH {
        let (leader, follower) = (c.first(leading)?, c.first(following)?);
        c.lead(leader)?;
        let before = c.status(leader)?.number("applied");
        c.ask(leader, &format!("fill 200 {leading} 100"))?;
        c.put(follower, &format!("forwarded-by-{following}"), "1")?;
        let sum = c.equal(&ids)?;
        let entries = c.status(leader)?.number("applied") - before;
        showed.push(format!("{leading} led {entries} entries ({sum})"));
    }
    Ok(showed.join(", "))
}

fn transfer(c: &mut Cluster) -> Done<String> {
    let mut showed = Vec::new();
    for (from, to) in Kind::BOTH {
        let (from_id, to_id) = (c.first(from)?, c.first(to)?);
        let before = c.lead(from_id)?;
        c.ask(from_id, &format!("transfer {to_id}"))?;
        let after = c.lead(to_id)?;
        showed.push(format!("{from} to {to} (term {before} to {after})"));
    }
    Ok(showed.join(", "))
}

/// A follower of the other kind sees what was written before it asked.
fn read_index(c: &mut Cluster) -> Done<String> {
    let mut showed = Vec::new();
    for (leading, following) in Kind::BOTH {
        let (leader, follower) = (c.first(leading)?, c.first(following)?);
        for n in 0..10 {
            c.lead(leader)?;
            c.put(leader, "read", &n.to_string())?;
            let written = c.status(leader)?.number("applied");
            // Requests may be lost; then the answer is an error, and the peer is asked again.
            let answer = c.wait("the read is answered", |c| {
                c.ask(follower, "read read").map(Some)
            })?;
            let words: Vec<_> = answer.split(' ').collect();
            let index = words.get(1).and_then(|i| i.parse::<u64>().ok());
            if words.get(2) != Some(&n.to_string().as_str()) || index.is_none_or(|i| i < written) {
                return Err(format!(
                    "{answer:?} after {n} was written at or before {written}"
                ));
            }
        }
        showed.push(format!(
            "10 by a {following} follower of a {leading} leader"
        ));
    }
    Ok(showed.join(", "))
}

/// A leader is cut off: what it still takes is lost, the others go on, and it comes back as a follower.
fn partition(c: &mut Cluster) -> Done<String> {
    let ids = c.ids();
    let mut showed = Vec::new();
    for (kind, _) in Kind::BOTH {
        let old = c.first(kind)?;
        let rest = c.others(old);
        let term = isolate_leader(c, old)?;
        c.ask(old, &format!("propose set lost-by-{kind} 1"))?;
        c.ask(old, "ticks on")?;
        let (new, new_term) = c.wait("the others elect a leader", |c| {
            let (lead, t) = c.agreed(&rest)?;
            Ok((t > term).then_some((lead, t)))
        })?;
        c.put(new, &format!("kept-without-{kind}"), "1")?;
        c.wait("the old leader steps down", |c| {
            Ok((c.status(old)?.text("role") != "leader").then_some(()))
        })?;
        c.cut(old, false)?;
        c.agreed(&ids)?;
        c.equal(&ids)?;
        for id in &ids {
            let lost = c.ask(*id, &format!("get lost-by-{kind}"))?;
            let kept = c.ask(*id, &format!("get kept-without-{kind}"))?;
            if (lost.as_str(), kept.as_str()) != ("get -", "get 1") {
                return Err(format!("node {id}: {lost}, {kept}"));
            }
        }
        let by = c.kind(new)?;
        showed.push(format!(
            "{kind} leader of term {term} cut off, {by} led from term {new_term}"
        ));
    }
    Ok(showed.join(", "))
}

/// Makes a node lead and cuts it off before it can lose that again. Its clock stands still then, so that it does not notice. Returns its term.
fn isolate_leader(c: &mut Cluster, id: u64) -> Done<u64> {
    c.wait("it leads, cut off", |c| {
        let term = c.lead(id)?;
        c.ask(id, "ticks off")?;
        c.cut(id, true)?;
        let s = c.status(id)?;
        if (s.text("role"), s.number("term")) == ("leader", term) {
            return Ok(Some(term));
        }
        c.cut(id, false)?;
        c.ask(id, "ticks on")?;
        Ok(None)
    })
}

/// A follower misses more than the leader keeps.
fn snapshots(c: &mut Cluster) -> Done<String> {
    let mut showed = Vec::new();
    for (leading, following) in Kind::BOTH {
        let mut tries = 0;
        // Where another takes over meanwhile it was perhaps that one's snapshot: that shows nothing.
        let shown = c.wait(&format!("a snapshot from {leading} to {following}"), |c| {
            tries += 1;
            one_snapshot(c, leading, following, tries)
        })?;
        showed.push(shown);
    }
    Ok(showed.join(", "))
}

fn one_snapshot(
    c: &mut Cluster,
    leading: Kind,
    following: Kind,
    tries: u32,
) -> Done<Option<String>> {
    let ids = c.ids();
    let (leader, follower) = (c.first(leading)?, c.first(following)?);
    let rest = c.others(follower);
    let term = c.lead(leader)?;
    c.equal(&ids)?;
    let before = c.status(follower)?;
    c.cut(follower, true)?;
    c.ask(
        leader,
        &format!("fill 200 snapshot-of-{leading}-{tries}- 4000"),
    )?;
    c.equal(&rest)?;
    for id in &rest {
        c.ask(*id, "compact")?;
    }
    c.cut(follower, false)?;
    let installed = before.number("installed") + 1;
    c.wait("it is installed", |c| {
        Ok((c.status(follower)?.number("installed") >= installed).then_some(()))
    })?;
    let sum = c.equal(&ids)?;
    let first = c.status(follower)?.number("first");
    let shown = format!(
        "{leading} to {following} (log went to {} and now begins at {first}, {sum})",
        before.number("last")
    );
    Ok((c.agreed(&ids)? == (leader, term)).then_some(shown))
}

/// Through joint configurations, left explicitly and by themselves, under leaders of both kinds. Node 4 comes, and goes again.
fn joint_change(c: &mut Cluster) -> Done<String> {
    let go = c.first(Kind::Go)?;
    c.lead(go)?;
    c.join(4, Kind::Rust)?;
    let joint = [
        ("voters", "1,2,4"),
        ("outgoing", "1,2,3"),
        ("learners", ""),
        ("nexts", "3"),
    ];
    change(c, "explicit v4 l3", &joint)?;
    c.put(4, "joint", "1")?;
    let ids = c.ids();
    c.equal(&ids)?;
    change(
        c,
        "auto",
        &[
            ("voters", "1,2,4"),
            ("outgoing", ""),
            ("learners", "3"),
            ("nexts", ""),
        ],
    )?;
    c.lead(4)?;
    change(
        c,
        "auto v3 l2",
        &[("voters", "1,3,4"), ("outgoing", ""), ("learners", "2")],
    )?;
    c.lead(go)?;
    // The one that is removed does not hear of the end.
    let leader_sees = [("voters", "1,2,3"), ("outgoing", ""), ("learners", "")];
    c.ask(go, "conf auto v2 r4")?;
    c.wait("node 4 is removed", |c| c.all_see(&[1, 2, 3], &leader_sees))?;
    c.kill(4)?;
    c.equal(&[1, 2, 3])?;
    Ok(
        "explicit under Go, automatic under Rust and Go; a Rust node came, led, and was removed"
            .into(),
    )
}

/// Proposes a change to whoever leads, and waits until everybody has this configuration.
fn change(c: &mut Cluster, change: &str, want: &[(&str, &str)]) -> Done {
    let ids = c.ids();
    let mut asked: Option<Instant> = None;
    c.wait(&format!("{change} gives {want:?}"), |c| {
        if let Some(done) = c.all_see(&ids, want)? {
            return Ok(Some(done));
        }
        // One that is refused, because the one before is not applied everywhere yet, is made again; one that is done already is refused.
        if asked.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
            asked = Some(Instant::now());
            let (lead, _) = leader(c)?;
            c.ask(lead, &format!("conf {change}"))?;
        }
        Ok(None)
    })
}

fn leader(c: &mut Cluster) -> Done<(u64, u64)> {
    let mut found = Err("nobody leads".to_owned());
    for id in c.ids() {
        let s = c.status(id)?;
        if s.text("role") == "leader" {
            found = Ok((id, s.number("term")));
        }
    }
    found
}

impl Cluster {
    fn all_see(&mut self, ids: &[u64], want: &[(&str, &str)]) -> Done<Option<()>> {
        for id in ids {
            let s = self.status(*id)?;
            if want.iter().any(|(field, value)| s.text(field) != *value) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}

/// A leader of each kind is killed. Its memory held its log and its votes, so it must not come back as who it was: it is removed, and joins under a new id.
fn kill_and_rejoin(c: &mut Cluster) -> Done<String> {
    let mut showed = Vec::new();
    for ((kind, _), new) in Kind::BOTH.into_iter().zip([5, 6]) {
        let old = c.first(kind)?;
        let term = c.lead(old)?;
        c.kill(old)?;
        let rest = c.ids();
        let (next, new_term) = c.agreed(&rest)?;
        if new_term <= term {
            return Err(format!(
                "node {next} leads in term {new_term}, {old} led in {term}"
            ));
        }
        let by = c.kind(next)?;
        c.put(next, &format!("after-{kind}-was-killed"), "1")?;
        change(
            c,
            &format!("auto r{old}"),
            &[("voters", &list(&rest)), ("outgoing", "")],
        )?;
        c.equal(&rest)?;
        c.ask_all("compact")?;
        c.join(new, kind)?;
        let all = c.ids();
        change(
            c,
            &format!("auto v{new}"),
            &[("voters", &list(&all)), ("outgoing", "")],
        )?;
        c.equal(&all)?;
        if c.status(new)?.number("installed") == 0 {
            return Err(format!("node {new} needed no snapshot"));
        }
        showed.push(format!("{kind} leader {old} killed, {by} took over in term {new_term}, joined again as {new} by snapshot"));
    }
    Ok(showed.join(", "))
}

fn list(ids: &[u64]) -> String {
    let texts: Vec<_> = ids.iter().map(u64::to_string).collect();
    texts.join(",")
}

fn equal_states(c: &mut Cluster) -> Done<String> {
    let ids = c.ids();
    let (lead, term) = c.agreed(&ids)?;
    c.put(lead, "last", "1")?;
    let sum = c.equal(&ids)?;
    Ok(format!("nodes {}: {sum}, term {term}", list(&ids)))
}

/// No message was refused by either side's decoder or core.
fn understood(c: &mut Cluster) -> Done<String> {
    let complaints = c.complaints()?;
    match complaints.is_empty() {
        true => Ok("no complaint in any log".into()),
        false => Err(complaints.join("\n  ")),
    }
}
