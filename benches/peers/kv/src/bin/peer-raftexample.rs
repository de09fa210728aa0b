//! Measures three processes of raftexample.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    peer_kv::main(peer_kv::Rival::Raftexample)
}
