//! Measures three processes of etcd.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    peer_kv::main(peer_kv::Rival::Etcd)
}
