//go:build !with_tla

package main

import (
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/rafttest"
)

// trace does nothing: etcd traces only when it is built with the tag with_tla.
type trace struct{}

func newTrace(string) *trace { return &trace{} }

func (*trace) onConfig(*raft.Config) {}

func (*trace) begin(*rafttest.InteractionEnv, *datadriven.TestData) {}

func (*trace) cut() {}

func (*trace) close(*testing.T) {}
