//! Before a new cluster's member begins with an empty directory: does anybody know its id? Go: no counterpart (etcd's discovery and member list serve another end)
//!
//! A node that lost its disk, started again as on its first day, would have forgotten whom it voted for and what it acknowledged. So a first member asks the others
//! of the list, and begins when a majority, itself included, has answered that its id is new.

use super::peers::lost;
use super::start::start_error;
use crate::config::ServerConfig;
use crate::error::Error;
use slog::{debug, info, warn};
use std::time::Duration;
use storage_wal::OpenReport;
use tokio::task::JoinSet;
use transport_tcp::{Answer, Hello, Kind, Refusal, ask};

/// How long one node gets to answer, and how long it is left alone then.
const ANSWER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Returns when a majority of the list, this node included, has answered; it waits for that as long as it takes.
///
/// # Errors
/// A member knows this node's id: with another disk, or as removed.
pub(super) async fn ask_majority(
    config: &ServerConfig,
    transport: &transport_tcp::Config,
    report: &OpenReport,
) -> Result<(), Error> {
    let needed = config.members.len() / 2 + 1;
    let mut asking = JoinSet::new();
    for (id, addr) in config.members.iter().filter(|m| m.0 != config.id) {
        let hello = Hello::new(transport, *id, Kind::Probe);
        asking.spawn(until_answered(
            *id,
            addr.clone(),
            hello,
            config.logger.clone(),
        ));
    }
    let mut answered = 1;
    info!(config.logger, "a new member: asking whether its id is known"; "incarnation" => report.identity.incarnation, "answers needed" => needed - 1);
    while answered < needed {
        match asking.join_next().await {
            Some(Ok(Ok(()))) => answered += 1,
            Some(Ok(Err(why))) => return Err(Error::Stopped(why)),
            Some(Err(e)) => return Err(start_error(e)),
            None => return Err(Error::Config("the list of members is too short".into())),
        }
    }
    Ok(())
}

async fn until_answered(
    id: u64,
    addr: String,
    hello: Hello,
    log: slog::Logger,
) -> Result<(), String> {
    loop {
        let (to, hello_) = (addr.clone(), hello.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&to, &hello_, ANSWER)).await;
        match asked {
            Ok(Ok(answer)) => {
                if let Some(verdict) = judge(hello.from, answer, &log) {
                    return verdict;
                }
            }
            Ok(Err(e)) => {
                debug!(log, "a member did not answer yet"; "member" => id, "addr" => &addr, "error" => %e);
            }
            Err(e) => return Err(e.to_string()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What an answer says; `None` when it is none: it was not this cluster's member that answered, or it could not look.
fn judge(own: u64, answer: Answer, log: &slog::Logger) -> Option<Result<(), String>> {
    match answer.refusal {
        // It knows of no such node.
        None | Some(Refusal::UnknownSender) => Some(Ok(())),
        // It could not look: that is no answer.
        Some(Refusal::Busy) => None,
        Some(Refusal::NotAdmitted(why)) => Some(Err(why)),
        Some(Refusal::Removed) => {
            let why = lost(own, &format!("node {own} was removed from the cluster"));
            Some(Err(why))
        }
        Some(other) => {
            warn!(log, "a member of another cluster, or none, answers at an address of the list"; "says" => answer.id, "reason" => %other);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_looked_and_found_nothing_has_answered() {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let says = |refusal| {
            let answer = Answer {
                refusal,
                ..Answer::new(&transport_tcp::Config::new(7, 2))
            };
            judge(3, answer, &log)
        };
        assert_eq!(says(None), Some(Ok(())));
        assert_eq!(says(Some(Refusal::UnknownSender)), Some(Ok(())));
        assert_eq!(says(Some(Refusal::Busy)), None);
        assert_eq!(says(Some(Refusal::WrongCluster)), None);
        let known = says(Some(Refusal::NotAdmitted("known".into())));
        assert_eq!(known, Some(Err("known".into())));
        assert!(matches!(says(Some(Refusal::Removed)), Some(Err(_))));
    }
}
