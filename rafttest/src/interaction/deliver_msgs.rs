//! The command `deliver-msgs`. Go: rafttest/interaction_env_handler_deliver_msgs.go
//!
//! ```text
//! deliver-msgs <id>... type=MsgApp drop=(2,3)
//! ```

use super::handler::Done;
use super::{CommandError, InteractionEnv};
use crate::datadriven::{CmdArg, TestData, parse_uint};
use raft::raftpb::{Message, MessageType, describe_message, is_local_msg_target};

/// Whose messages are delivered, or lost. Go: Recipient
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The node.
    pub id: u64,
    /// Whether they are lost.
    pub drop: bool,
}

impl InteractionEnv {
    #[doc(alias = "handleDeliverMsgs")]
    pub(super) fn handle_deliver_msgs(&mut self, d: &TestData) -> Done {
        let mut msg_type = None;
        let mut recipients = Vec::new();
        for arg in &d.cmd_args {
            if arg.vals.is_empty() {
                let id = parse_uint(&arg.key).map_err(CommandError::fatal)?;
                recipients.push(Recipient { id, drop: false });
            }
            for i in 0..arg.vals.len() {
                match arg.key.as_str() {
                    "drop" => recipients.push(dropped(arg, i, &recipients)?),
                    "type" => msg_type = Some(message_type(&arg.scan::<String>(i)?)?),
                    _ => {}
                }
            }
        }
        if self.deliver_msgs(msg_type, &recipients)? == 0 {
            self.output.write("no messages\n");
        }
        Ok(())
    }

    /// Delivers or drops the messages to each recipient, only those of `msg_type` where there is one, and returns how many it
    /// were. Go: DeliverMsgs
    ///
    /// # Errors
    /// A message is to a node that does not exist.
    #[doc(alias = "DeliverMsgs")]
    pub fn deliver_msgs(
        &mut self,
        msg_type: Option<MessageType>,
        recipients: &[Recipient],
    ) -> Result<usize, CommandError> {
        let mut n = 0;
        for r in recipients {
            let msgs = self.split_msgs(r.id, msg_type, r.drop);
            n += msgs.len();
            for m in msgs {
                let text = describe_message(&m, None);
                if r.drop {
                    self.output.write_line(&format!("dropped: {text}"));
                    continue;
                }
                self.output.write_line(&text);
                self.deliver(m)?;
            }
        }
        Ok(n)
    }

    fn deliver(&mut self, m: Message) -> Done {
        let to = m.to;
        let idx = usize::try_from(to).ok().and_then(|to| to.checked_sub(1));
        let idx = idx
            .filter(|idx| *idx < self.nodes.len())
            .ok_or_else(|| CommandError::fatal(format!("there is no node {to}")))?;
        if m.msg_type == MessageType::MsgReadIndex {
            self.note_early_read(idx);
        }
        if let Err(e) = self.node(idx)?.step(m) {
            self.output.write_line(&e.to_string());
        }
        self.observe(idx);
        Ok(())
    }

    /// Takes the messages to a node out, in their order. Go: splitMsgs
    #[doc(alias = "splitMsgs")]
    fn split_msgs(&mut self, to: u64, msg_type: Option<MessageType>, drop: bool) -> Vec<Message> {
        self.messages
            .extract_if(.., |m| is_for(m, to, msg_type, drop))
            .collect()
    }

    /// Whether there are messages to a node.
    pub(super) fn has_msgs(&self, to: u64) -> bool {
        self.messages.iter().any(|m| is_for(m, to, None, false))
    }
}

fn is_for(m: &Message, to: u64, msg_type: Option<MessageType>, drop: bool) -> bool {
    m.to == to && !(drop && is_local_msg(m)) && msg_type.is_none_or(|t| m.msg_type == t)
}

/// Local messages are never lost. Go: isLocalMsg
#[doc(alias = "isLocalMsg")]
pub(super) fn is_local_msg(m: &Message) -> bool {
    m.from == m.to || is_local_msg_target(m.from) || is_local_msg_target(m.to)
}

fn dropped(arg: &CmdArg, i: usize, recipients: &[Recipient]) -> Result<Recipient, CommandError> {
    let id = arg.scan(i)?;
    if recipients.iter().any(|r| r.id == id) {
        return Err(CommandError::fatal(format!(
            "can't both deliver and drop msgs to {id}"
        )));
    }
    Ok(Recipient { id, drop: true })
}

fn message_type(name: &str) -> Result<MessageType, CommandError> {
    MessageType::ALL
        .iter()
        .copied()
        .find(|t| t.as_str() == name)
        .ok_or_else(|| CommandError::fatal(format!("unknown message type {name}")))
}
