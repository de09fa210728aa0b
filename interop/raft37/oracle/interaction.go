package main

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/rafttest"
)

// group is etcd's environment and the commands of ours around it.
type group struct {
	env   *rafttest.InteractionEnv
	trace *trace
	// options of ours, of the add-nodes command that is running.
	options func(*raft.Config)
	nodes   []*nodeStorage
}

func newGroup(trace *trace) *group {
	g := &group{trace: trace}
	g.env = rafttest.NewInteractionEnv(&rafttest.InteractionOpts{
		OnConfig: func(c *raft.Config) {
			trace.onConfig(c)
			g.options(c)
		},
		SetRandomizedElectionTimeout: setRandomizedElectionTimeout,
	})
	return g
}

// setRandomizedElectionTimeout reaches the field that etcd's own setter, which lives in its test files, sets.
func setRandomizedElectionTimeout(node *raft.RawNode, timeout int) {
	core := reflect.ValueOf(node).Elem().FieldByName("raft").Elem()
	field := core.FieldByName("randomizedElectionTimeout")
	*(*int)(unsafe.Pointer(field.UnsafeAddr())) = timeout
}

// handle runs a command of ours, or gives it to etcd's handler.
func (g *group) handle(t *testing.T, d *datadriven.TestData) string {
	g.trace.begin(g.env, d)
	switch d.Cmd {
	case "read-index":
		return g.ours(func() error { g.readIndex(t, d); return nil })
	case "report-snapshot":
		return g.ours(func() error { g.reportSnapshot(t, d); return nil })
	case "restart":
		return g.ours(func() error { return g.restart(nodeArg(t, d, 0)) })
	case "add-nodes":
		g.options = optionsOfOurs(t, d)
		defer g.wrapStorages()
	}
	return singleBlanks(g.env.Handle(t, *d))
}

// ours runs a command of ours and returns what it prints, as etcd's handler does for its own.
func (g *group) ours(command func() error) string {
	out := g.env.Output
	out.Reset()
	if err := command(); err != nil {
		if out.Quiet() {
			return err.Error()
		}
		out.WriteString(err.Error())
	}
	if out.Len() == 0 {
		return "ok"
	}
	return out.String()
}

// nodeArg is the place of the node that argument i names.
func nodeArg(t *testing.T, d *datadriven.TestData, i int) int {
	if i >= len(d.CmdArgs) {
		t.Fatalf("%s: %s: missing argument", d.Pos, d.Cmd)
	}
	n, err := strconv.Atoi(d.CmdArgs[i].Key)
	if err != nil {
		t.Fatal(err)
	}
	return n - 1
}

// read-index <id> <context>
func (g *group) readIndex(t *testing.T, d *datadriven.TestData) {
	if len(d.CmdArgs) != 2 {
		t.Fatalf("%s: read-index needs a node and a context", d.Pos)
	}
	g.env.Nodes[nodeArg(t, d, 0)].ReadIndex([]byte(d.CmdArgs[1].Key))
}

// report-snapshot <id> <to> ok|failed
func (g *group) reportSnapshot(t *testing.T, d *datadriven.TestData) {
	if len(d.CmdArgs) != 3 {
		t.Fatalf("%s: report-snapshot needs two nodes and a status", d.Pos)
	}
	status := raft.SnapshotFinish
	if d.CmdArgs[2].Key == "failed" {
		status = raft.SnapshotFailure
	}
	g.env.Nodes[nodeArg(t, d, 0)].ReportSnapshot(uint64(nodeArg(t, d, 1)+1), status)
}

// optionsOfOurs reads the options of add-nodes that etcd's handler lacks.
func optionsOfOurs(t *testing.T, d *datadriven.TestData) func(*raft.Config) {
	return func(c *raft.Config) {
		for _, arg := range d.CmdArgs[1:] {
			for i := range arg.Vals {
				switch arg.Key {
				case "max-size-per-msg":
					arg.Scan(t, i, &c.MaxSizePerMsg)
				case "max-uncommitted-size":
					arg.Scan(t, i, &c.MaxUncommittedEntriesSize)
				case "max-inflight-bytes":
					arg.Scan(t, i, &c.MaxInflightBytes)
				case "election-tick":
					arg.Scan(t, i, &c.ElectionTick)
				case "heartbeat-tick":
					arg.Scan(t, i, &c.HeartbeatTick)
				case "disable-proposal-forwarding":
					arg.Scan(t, i, &c.DisableProposalForwarding)
				}
			}
		}
	}
}

// singleBlanks makes the one line that prints a protobuf message with %v the same in every build: the protobuf library puts one or two blanks between
// fields, by a hash of the program it is linked into, so that nobody compares its text.
func singleBlanks(out string) string {
	if !strings.Contains(out, "not in the ConfState") {
		return out
	}
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if strings.Contains(line, "attempted to restore snapshot but it is not in the ConfState ") {
			for _, field := range []string{"voters:", "learners:", "voters_outgoing:", "learners_next:", "auto_leave:"} {
				lines[i] = strings.ReplaceAll(lines[i], "  "+field, " "+field)
			}
		}
	}
	return strings.Join(lines, "\n")
}
