// Command peer is a node on etcd-io/raft's Node in a cluster of tickraft nodes; see interop/mixed. Its twin for the other version differs in types only.
package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tickraft.example/interop/gopeer"
)

func main() { gopeer.Main(start) }

// node runs a Node, its storage and, in its own goroutine, what Ready asks for.
type node struct {
	raft.Node
	storage  *raft.MemoryStorage
	app      gopeer.App
	conf     *pb.ConfState
	applied  uint64
	requests chan func()
}

func start(s gopeer.Settings, app gopeer.App) gopeer.Node {
	n := &node{storage: raft.NewMemoryStorage(), app: app, conf: &pb.ConfState{}, requests: make(chan func())}
	if len(s.Voters) > 0 {
		n.conf, n.applied = &pb.ConfState{Voters: s.Voters}, 1
		// The state of a group that has not begun is that of an empty map.
		must(n.storage.ApplySnapshot(&pb.Snapshot{
			Data:     app.Snapshot(),
			Metadata: &pb.SnapshotMetadata{Index: proto.Uint64(1), Term: proto.Uint64(1), ConfState: n.conf},
		}))
	}
	n.Node = raft.RestartNode(&raft.Config{
		ID: s.ID, ElectionTick: s.ElectionTick, HeartbeatTick: s.HeartbeatTick, Storage: n.storage, Applied: n.applied,
		MaxSizePerMsg: 64 << 10, MaxInflightMsgs: 64, CheckQuorum: true, PreVote: true, Logger: &raft.DefaultLogger{Logger: s.Log},
	})
	go n.run()
	return n
}

func (n *node) run() {
	for {
		select {
		case rd := <-n.Ready():
			n.handle(rd)
			n.Advance()
		case f := <-n.requests:
			f()
		}
	}
}

func (n *node) handle(rd raft.Ready) {
	if !raft.IsEmptySnap(rd.Snapshot) {
		must(n.storage.ApplySnapshot(rd.Snapshot))
	}
	must(n.storage.Append(rd.Entries))
	if !raft.IsEmptyHardState(rd.HardState) {
		must(n.storage.SetHardState(rd.HardState))
	}
	for _, m := range rd.Messages {
		n.app.Send(outgoing(m))
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		m := rd.Snapshot.GetMetadata()
		n.conf, n.applied = m.GetConfState(), m.GetIndex()
		must(n.app.Restore(n.applied, rd.Snapshot.GetData()))
	}
	for _, e := range rd.CommittedEntries {
		n.apply(e)
	}
	for _, rs := range rd.ReadStates {
		n.app.ReadState(rs.Index, rs.RequestCtx)
	}
}

func outgoing(m *pb.Message) gopeer.Outgoing {
	out := gopeer.Outgoing{To: m.GetTo(), Snapshot: m.GetType() == pb.MsgSnap}
	if out.Snapshot {
		// The node and the storage share the message.
		m = proto.Clone(m).(*pb.Message)
		out.Data, m.Snapshot.Data = m.Snapshot.Data, nil
	}
	out.Message = encode(m)
	return out
}

func (n *node) apply(e *pb.Entry) {
	n.applied = e.GetIndex()
	switch e.GetType() {
	case pb.EntryNormal:
		n.app.Apply(n.applied, e.GetData())
		return
	case pb.EntryConfChange:
		var cc pb.ConfChange
		must(proto.Unmarshal(e.GetData(), &cc))
		n.conf = n.ApplyConfChange(&cc)
	case pb.EntryConfChangeV2:
		var cc pb.ConfChangeV2
		must(proto.Unmarshal(e.GetData(), &cc))
		n.conf = n.ApplyConfChange(&cc)
	}
	n.app.Apply(n.applied, nil)
	// A snapshot from before its change would not name a new member, who would refuse it.
	must(n.snapshot())
}

func (n *node) snapshot() error {
	_, err := n.storage.CreateSnapshot(n.applied, n.conf, n.app.Snapshot())
	if errors.Is(err, raft.ErrSnapOutOfDate) {
		return nil // there is one of this index
	}
	return err
}

// patience is how long a call may wait for a leader.
func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*time.Second)
}

func (n *node) Campaign() error {
	ctx, cancel := patience()
	defer cancel()
	return n.Node.Campaign(ctx)
}

func (n *node) Propose(data []byte) error {
	ctx, cancel := patience()
	defer cancel()
	return n.Node.Propose(ctx, data)
}

func (n *node) ProposeChange(t gopeer.Transition, changes string) error {
	singles, err := pb.ConfChangesFromString(changes)
	if err != nil {
		return err
	}
	cc := &pb.ConfChangeV2{Changes: singles}
	if t == gopeer.Explicit {
		cc.Transition = pb.ConfChangeTransitionJointExplicit.Enum()
	}
	ctx, cancel := patience()
	defer cancel()
	return n.Node.ProposeConfChange(ctx, cc)
}

func (n *node) Transfer(lead, to uint64) {
	ctx, cancel := patience()
	defer cancel()
	n.Node.TransferLeadership(ctx, lead, to)
}

func (n *node) ReadIndex(request []byte) error {
	ctx, cancel := patience()
	defer cancel()
	return n.Node.ReadIndex(ctx, request)
}

func (n *node) Step(from uint64, message []byte) error { return n.step(from, message, nil) }

func (n *node) StepSnapshot(from uint64, message, data []byte) error {
	return n.step(from, message, data)
}

func (n *node) step(from uint64, message, data []byte) error {
	m, err := decode(message)
	if err != nil {
		return err
	}
	if m.GetType() == pb.MsgSnap {
		if m.Snapshot == nil {
			return errors.New("a MsgSnap without a snapshot")
		}
		m.Snapshot.Data = data
	}
	ctx, cancel := patience()
	defer cancel()
	return n.Node.Step(ctx, m)
}

func (n *node) ReportSnapshot(id uint64, ok bool) {
	status := raft.SnapshotFailure
	if ok {
		status = raft.SnapshotFinish
	}
	n.Node.ReportSnapshot(id, status)
}

func (n *node) Compact() error {
	done := make(chan error)
	n.requests <- func() {
		err := n.snapshot()
		if err == nil {
			err = n.storage.Compact(n.applied)
		}
		done <- err
	}
	return <-done
}

func (n *node) Status() gopeer.Status {
	s := n.Node.Status()
	first, err := n.storage.FirstIndex()
	must(err)
	last, err := n.storage.LastIndex()
	must(err)
	return gopeer.Status{
		Role: strings.ToLower(strings.TrimPrefix(s.RaftState.String(), "State")), Lead: s.Lead, Term: s.GetTerm(), Commit: s.GetCommit(),
		First: first, Last: last,
		Voters: keys(s.Config.Voters[0]), Outgoing: keys(s.Config.Voters[1]), Learners: keys(s.Config.Learners), Nexts: keys(s.Config.LearnersNext),
	}
}

func keys[M ~map[uint64]struct{}](m M) []uint64 { return slices.Collect(maps.Keys(m)) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func encode(m *pb.Message) []byte {
	data, err := proto.Marshal(m)
	must(err)
	return data
}

func decode(data []byte) (*pb.Message, error) {
	m := &pb.Message{}
	return m, proto.Unmarshal(data, m)
}
