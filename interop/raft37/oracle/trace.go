//go:build with_tla

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/rafttest"
)

// trace gathers what etcd traces while a script runs: a line an event, in the form that etcd's Traceetcdraft.tla reads. The sequence number stands where
// etcd's example has the time of day: validate.sh sorts by that place, and scripts have no time of day.
type trace struct {
	path  string
	lines bytes.Buffer
	count int
	// Where the trace stood when the current command began.
	begunLen, begunCount int
	// The nodes that the current command asks for a Ready although they have none. etcd hands out an empty one and traces it; tickraft hands out
	// nothing, so those events are left out, and counted.
	idle map[string]bool
	left int
}

func newTrace(script string) *trace {
	return &trace{path: strings.TrimSuffix(script, ".txt") + ".ndjson"}
}

func (t *trace) onConfig(c *raft.Config) { c.TraceLogger = t }

// TraceEvent implements raft.TraceLogger.
func (t *trace) TraceEvent(event *raft.TracingEvent) {
	if event.Name == "Ready" && t.idle[event.NodeID] {
		t.left++
		return
	}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	t.count++
	fmt.Fprintf(&t.lines, `{"level":"debug","seq":"%010d","tag":"trace","event":%s}`+"\n", t.count, text)
}

// begin marks the start of a command.
func (t *trace) begin(env *rafttest.InteractionEnv, d *datadriven.TestData) {
	t.begunLen, t.begunCount = t.lines.Len(), t.count
	t.idle = map[string]bool{}
	if d.Cmd != "process-ready" {
		return
	}
	for _, arg := range d.CmdArgs {
		// The handler refuses what is no node.
		if id, err := strconv.Atoi(arg.Key); err == nil && 0 < id && id <= len(env.Nodes) {
			t.idle[arg.Key] = !env.Nodes[id-1].HasReady()
		}
	}
}

// cut forgets what the current command traced.
func (t *trace) cut() {
	t.lines.Truncate(t.begunLen)
	t.count = t.begunCount
}

func (t *trace) close(tt *testing.T) {
	if err := os.WriteFile(t.path, t.lines.Bytes(), 0o644); err != nil {
		tt.Error(err)
	}
	if t.left > 0 {
		fmt.Printf("empty Readies left out of %s: %d\n", t.path, t.left)
	}
}
