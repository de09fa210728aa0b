//! Quorums: what a majority has acknowledged and how a vote stands, for one configuration or two at once. Go: quorum/quorum.go.
//!
//! Raft asks a group of voters two questions. *Up to which index is the log safe?* (Raft paper §5.3, §5.4.2) and *has this
//! candidate won?* (§5.2). This module answers both and does nothing else: it knows ids and numbers, no logs, no messages.
//! It stands on its own, for anyone who counts majorities.
//!
//! Five voters have acknowledged these indexes; voter 4 has not been heard of:
//!
//! ```text
//!   voter   acknowledged                          in order, least first
//!
//!     1     |=======>      7
//!     2     |===========> 11                         4   5   1   3   2
//!     3     |=========>    9                         -   5   7   9  11
//!     4     ?                                                ^-------^
//!     5     |=====>        5                             a majority holds 7:
//!                                                        7 is committed
//! ```
//!
//! Of n voters a majority is n/2+1 (rounded down), so the committed index is the one that has n/2 others at or above it.
//! A voter that was not heard of counts as holding nothing.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tickraft::quorum::{Index, MajorityConfig, VoteResult};
//!
//! let voters = MajorityConfig::from([1, 2, 3, 4, 5]);
//! let acked = BTreeMap::from([(1, Index(7)), (2, Index(11)), (3, Index(9)), (5, Index(5))]);
//! assert_eq!(voters.committed_index(&acked), Index(7));
//!
//! // 1 and 2 vote yes, 3 votes no, 4 and 5 are silent: one more yes decides.
//! let votes = BTreeMap::from([(1, true), (2, true), (3, false)]);
//! assert_eq!(voters.vote_result(|id| votes.get(&id).copied()), VoteResult::Pending);
//! ```
//!
//! While the membership changes, two majorities decide together ([`JointConfig`]; Raft paper §6, Ongaro's thesis §4.3):
//! an index is committed when both have it, a vote is won when both grant it and lost when either refuses.
//!
//! ```text
//!            old voters (1 2 3)          new voters (3 4 5)
//!           .--------------------.      .------------------.
//!           |  1: 8      2: 8    |      |  4: 3     5: 6   |
//!           |               .----+------+----.             |
//!           |               |     3: 8       |             |
//!           |               '----+------+----'             |
//!           '--------------------'      '------------------'
//!             8 by a majority here        6 by a majority here      committed: 6
//! ```
//!
//! ```
//! use std::collections::BTreeMap;
//! use tickraft::quorum::{Index, JointConfig, MajorityConfig};
//!
//! let voters = JointConfig {
//!     incoming: MajorityConfig::from([3, 4, 5]),
//!     outgoing: MajorityConfig::from([1, 2, 3]),
//! };
//! let acked = BTreeMap::from([(1, 8), (2, 8), (3, 8), (4, 3), (5, 6)].map(|(id, n)| (id, Index(n))));
//! assert_eq!(voters.committed_index(&acked), Index(6));
//! assert_eq!(voters.to_string(), "(3 4 5)&&(1 2 3)");
//! ```

mod id_set;
mod index;
mod joint;
mod majority;
mod vote_result;

pub use id_set::IdSet;
pub use index::{AckedIndexer, Index};
pub use joint::JointConfig;
pub use majority::MajorityConfig;
pub use vote_result::VoteResult;

#[cfg(test)]
mod tests;
