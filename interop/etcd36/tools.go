//go:build tools

// Package etcd36 pins etcd 3.6: its log dumper is the oracle for what is on disk.
package etcd36

import _ "go.etcd.io/etcd/v3/tools/etcd-dump-logs"
