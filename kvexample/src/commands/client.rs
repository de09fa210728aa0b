//! `kvexample put|get|del|status|members`. Go: no counterpart (raftexample is used with curl)

use super::say;
use crate::api::{AddMember, MemberList, StatusReport};
use crate::cli::{
    DelArgs, Endpoints, GetArgs, MembersArgs, MembersCommand, PutArgs, StatusArgs, check_addr,
};
use crate::client::Client;
use crate::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;

type Done = Result<ExitCode, Error>;

fn client(to: &Endpoints) -> Client {
    Client::new(to.endpoints.clone(), to.timeout)
}

pub(super) fn put(args: PutArgs) -> Done {
    let value = match args.value {
        Some(value) => value.into_encoded_bytes(),
        None => {
            let mut value = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut value);
            read.map_err(|source| Error::Io {
                action: "read the value from standard input",
                source,
            })?;
            value
        }
    };
    let written = client(&args.to).put(args.key.as_encoded_bytes(), &value, args.if_match)?;
    say(format!("ok, index {} term {}", written.index, written.term))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn get(args: GetArgs) -> Done {
    match client(&args.to).get(args.key.as_encoded_bytes(), args.stale)? {
        Some(found) => {
            let mut out = std::io::stdout().lock();
            out.write_all(&found.value)
                .and_then(|()| out.flush())
                .map_err(|source| Error::Io {
                    action: "write to standard output",
                    source,
                })?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            eprintln!("kvexample: the key does not exist");
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(super) fn del(args: DelArgs) -> Done {
    let written = client(&args.to).delete(args.key.as_encoded_bytes(), args.if_match)?;
    say(format!("ok, index {} term {}", written.index, written.term))?;
    Ok(ExitCode::SUCCESS)
}

/// Each endpoint is asked for itself.
pub(super) fn status(args: StatusArgs) -> Done {
    let mut failed = false;
    for endpoint in &args.to.endpoints {
        match Client::new(vec![endpoint.clone()], args.to.timeout).status() {
            Ok(report) if args.json => {
                let text = serde_json::to_string_pretty(&report).unwrap_or_default();
                say(text)?;
            }
            Ok(report) => say_status(endpoint, &report)?,
            Err(e) => {
                failed = true;
                eprintln!("kvexample: {e}");
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn say_status(endpoint: &str, s: &StatusReport) -> Result<(), Error> {
    let leader = match s.leader {
        0 => "no leader known".to_owned(),
        id => format!("leader {id}"),
    };
    let c = &s.configuration;
    say(format!(
        "{endpoint}  node {}  {}  {leader}  term {}  commit {}  applied {}  voters {:?}  learners {:?}  keys {}",
        s.id, s.role, s.term, s.commit, s.applied, c.voters, c.learners, s.keys
    ))?;
    for p in &s.progress {
        let part = if p.learner { "learner" } else { "voter" };
        let heard = if p.recent_active { "active" } else { "silent" };
        say(format!(
            "    node {} {part}  match {}  next {}  {}  {heard}",
            p.id, p.matched, p.next, p.state
        ))?;
    }
    Ok(())
}

pub(super) fn members(args: MembersArgs) -> Done {
    let list = match args.command {
        None => client(&args.to).members(false)?,
        Some(MembersCommand::List(a)) => client(&a.to).members(a.stale)?,
        Some(MembersCommand::Add(a)) => {
            check_addr(&a.addr).map_err(Error::Config)?;
            let list = client(&a.to).add_member(&AddMember {
                id: a.id,
                addr: a.addr,
                learner: a.learner,
                incarnation: a.incarnation,
                force: a.force,
            })?;
            if let Some(id) = list.id {
                say(format!(
                    "added node {id}; start it with: kvexample serve --id {id} --join …"
                ))?;
            }
            list
        }
        Some(MembersCommand::Promote(a)) => client(&a.to).promote_member(a.id, a.force)?,
        Some(MembersCommand::Remove(a)) => client(&a.to).remove_member(a.id, a.force)?,
    };
    say_members(&list)?;
    Ok(ExitCode::SUCCESS)
}

fn say_members(list: &MemberList) -> Result<(), Error> {
    for m in &list.members {
        let part = match (m.leader, m.learner) {
            (true, _) => "leader",
            (_, true) => "learner",
            _ => "voter",
        };
        let http = if m.http.is_empty() {
            "not heard of yet"
        } else {
            &m.http
        };
        say(format!(
            "node {}  {part}  raft {}  http {http}",
            m.id, m.addr
        ))?;
    }
    Ok(())
}
