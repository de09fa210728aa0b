//! The command `add-nodes`. Go: rafttest/interaction_env_handler_add_nodes.go
//!
//! ```text
//! add-nodes <number-of-nodes-to-add> voters=(1 2 3) learners=(4 5) index=2 content=foo async-storage-writes=true
//! ```

use super::args::first_as_int;
use super::handler::Done;
use super::{CommandError, InteractionEnv, Node, ScriptStorage};
use crate::datadriven::{CmdArg, Fatal, TestData};
use raft::raftpb::{NO_LIMIT, Snapshot};
use raft::storage::Storage;
use raft::{Config, ReadOnlyOption};

/// How many nodes one command may add.
const MAX_NODES: usize = 1000;

/// What nodes are made with: a template without an id. Go: raftConfigStub, and the arguments of AddNodes
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The template. In particular, it sets no limits.
    pub config: Config,
    /// Whether log writes and applying go through the storage threads. Go: Config.AsyncStorageWrites
    pub async_storage_writes: bool,
    /// What the nodes start from; nothing when it is empty.
    pub snapshot: Snapshot,
}

impl Default for NodeOptions {
    #[doc(alias = "raftConfigStub")]
    fn default() -> Self {
        Self {
            // Scripts that depend on a timeout set it; the seed only keeps runs alike.
            config: Config {
                election_tick: 3,
                heartbeat_tick: 1,
                max_size_per_msg: NO_LIMIT,
                // Go: math.MaxInt32
                max_inflight_msgs: 0x7fff_ffff,
                ..Config::new(0, 1)
            },
            async_storage_writes: false,
            snapshot: Snapshot::default(),
        }
    }
}

impl NodeOptions {
    /// Reads the value at place `i` of an argument; arguments that nobody knows are ignored.
    fn read(&mut self, arg: &CmdArg, i: usize) -> Done {
        let c = &mut self.config;
        let conf_state = &mut self.snapshot.metadata.conf_state;
        match arg.key.as_str() {
            "voters" => conf_state.voters.push(arg.scan(i)?),
            "learners" => conf_state.learners.push(arg.scan(i)?),
            "inflight" => c.max_inflight_msgs = scan_usize(arg, i)?,
            "index" => {
                self.snapshot.metadata.index = arg.scan(i)?;
                c.applied = self.snapshot.metadata.index;
            }
            "content" => self.snapshot.data = arg.scan::<String>(i)?.into(),
            "async-storage-writes" => self.async_storage_writes = arg.scan(i)?,
            "prevote" => c.pre_vote = arg.scan(i)?,
            "checkquorum" => c.check_quorum = arg.scan(i)?,
            "max-committed-size-per-ready" => c.max_committed_size_per_ready = arg.scan(i)?,
            "disable-conf-change-validation" => c.disable_conf_change_validation = arg.scan(i)?,
            "read-only" => c.read_only_option = read_only_option(&arg.scan::<String>(i)?)?,
            "step-down-on-removal" => c.step_down_on_removal = arg.scan(i)?,
            _ => self.read_ours(arg, i)?,
        }
        Ok(())
    }
}

pub(super) fn scan_usize(arg: &CmdArg, i: usize) -> Result<usize, Fatal> {
    usize::try_from(arg.scan::<i64>(i)?).map_err(|e| Fatal(format!("{arg}: {e}")))
}

fn read_only_option(name: &str) -> Result<ReadOnlyOption, CommandError> {
    match name {
        "safe" => Ok(ReadOnlyOption::Safe),
        "lease-based" => Ok(ReadOnlyOption::LeaseBased),
        _ => Err(CommandError::output(format!(
            "invalid read-only option {}",
            raft::raftpb::go_quote(name.as_bytes())
        ))),
    }
}

impl InteractionEnv {
    #[doc(alias = "handleAddNodes")]
    pub(super) fn handle_add_nodes(&mut self, d: &TestData) -> Done {
        let n = first_as_int(d)?;
        let mut options = NodeOptions::default();
        for arg in d.cmd_args.iter().skip(1) {
            for i in 0..arg.vals.len() {
                options.read(arg, i)?;
            }
        }
        // A script that asks for more than this was not written by a person.
        match usize::try_from(n.max(0)) {
            Ok(n) if n <= MAX_NODES => self.add_nodes(n, options),
            _ => Err(CommandError::fatal(format!("{n} nodes are too many"))),
        }
    }

    /// Adds `n` nodes that start from the options' snapshot, which may be empty; they get consecutive ids. Go: AddNodes
    ///
    /// # Errors
    /// A snapshot below index 2, or a configuration that will not do.
    #[doc(alias = "AddNodes")]
    pub fn add_nodes(&mut self, n: usize, mut options: NodeOptions) -> Result<(), CommandError> {
        let bootstrap = options.snapshot != Snapshot::default();
        for _ in 0..n {
            if bootstrap {
                if options.snapshot.metadata.index <= 1 {
                    return Err(CommandError::output(
                        "index must be specified as > 1 due to bootstrap",
                    ));
                }
                options.snapshot.metadata.term = 1;
            }
            self.add_node(&options, bootstrap)?;
        }
        Ok(())
    }

    fn add_node(&mut self, options: &NodeOptions, bootstrap: bool) -> Done {
        let snapshot = &options.snapshot;
        let storage = ScriptStorage::new(snapshot.clone());
        if bootstrap {
            storage
                .log
                .apply_snapshot(snapshot)
                .map_err(CommandError::output)?;
            let first = storage.first_index().map_err(CommandError::output)?;
            let want = snapshot.metadata.index + 1;
            if first != want {
                return Err(CommandError::output(format!(
                    "failed to establish first index {want}; got {first}"
                )));
            }
        }
        let config = Config {
            id: self.nodes.len() as u64 + 1,
            ..options.config.clone()
        };
        let logger = self.output.logger();
        let tracer = self.tracer.clone();
        let node = Node::new(
            config,
            options.async_storage_writes,
            storage,
            logger,
            tracer,
        )
        .map_err(CommandError::output)?;
        self.nodes.push(node);
        self.observe_start(self.nodes.len() - 1)
            .map_err(CommandError::output)
    }
}
