//go:build tools

// Package etcd36 pins etcd 3.6: its log dumper is the oracle for what is on disk; its server and raftexample are what kvexample is compared with.
package etcd36

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "go.etcd.io/etcd/v3/contrib/raftexample"
	_ "go.etcd.io/etcd/v3/tools/benchmark"
	_ "go.etcd.io/etcd/v3/tools/etcd-dump-logs"
)
