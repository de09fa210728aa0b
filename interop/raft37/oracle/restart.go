package main

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/rafttest"
	"google.golang.org/protobuf/proto"
)

// nodeStorage stands between etcd's handlers and a node's storage. It remembers what etcd's environment forgets but a restart needs: the snapshots that came
// from a leader.
type nodeStorage struct {
	rafttest.Storage
	g  *group
	at int
	// restored is the metadata of the last snapshot from a leader, nil before there was one, and seen how long the history was by then.
	restored *pb.SnapshotMetadata
	seen     int
	// confState is the application's configuration, once the node was restarted: it starts from that.
	confState *pb.ConfState
}

// wrapStorages puts a nodeStorage before the storage of each new node.
func (g *group) wrapStorages() {
	for at := len(g.nodes); at < len(g.env.Nodes); at++ {
		s := &nodeStorage{Storage: g.env.Nodes[at].Storage, g: g, at: at}
		g.env.Nodes[at].Storage = s
		g.nodes = append(g.nodes, s)
	}
}

func (s *nodeStorage) ApplySnapshot(snap *pb.Snapshot) error {
	if err := s.Storage.ApplySnapshot(snap); err != nil {
		return err
	}
	s.restored = proto.Clone(snap.GetMetadata()).(*pb.SnapshotMetadata)
	s.seen = len(s.g.env.Nodes[s.at].History)
	return nil
}

func (s *nodeStorage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	hs, cs, err := s.Storage.InitialState()
	if s.confState != nil {
		cs = s.confState
	}
	return hs, cs, err
}

// application gives what the node's application has applied, and the configuration there. The history alone does not say it: a snapshot from a leader is
// not in it, and entries after that carry on the configuration from before.
func (s *nodeStorage) application() (uint64, *pb.ConfState) {
	history := s.g.env.Nodes[s.at].History
	first := history[0].GetMetadata()
	index, cs, next := first.GetIndex(), first.GetConfState(), 1
	if s.restored != nil {
		index, cs, next = s.restored.GetIndex(), s.restored.GetConfState(), s.seen
		// What was still being applied when the snapshot came is in it.
		for next < len(history) && history[next].GetMetadata().GetIndex() <= index {
			next++
		}
	}
	for ; next < len(history); next++ {
		meta := history[next].GetMetadata()
		index = meta.GetIndex()
		// Entries that change no configuration share the one before.
		if meta.GetConfState() != history[next-1].GetMetadata().GetConfState() {
			cs = meta.GetConfState()
		}
	}
	return index, cs
}

// restart stops a node without warning and starts it again from its storage and its application, which is durable: what it applied is committed, whether
// the hard state was written in time to say so or not. Lost are the work that its storage threads had not begun and its messages to itself.
func (g *group) restart(at int) error {
	s, n := g.nodes[at], &g.env.Nodes[at]
	applied, cs := s.application()
	s.confState = proto.Clone(pb.EnsureConfState(cs)).(*pb.ConfState)
	hs, _, err := s.Storage.InitialState()
	if err != nil {
		return err
	}
	if !raft.IsEmptyHardState(hs) && hs.GetCommit() < applied {
		hs = proto.Clone(hs).(*pb.HardState)
		hs.Commit = &applied
		if err := s.SetHardState(hs); err != nil {
			return err
		}
	}
	cfg := *n.Config
	cfg.Storage, cfg.Applied = s, applied
	node, err := raft.NewRawNode(&cfg)
	if err != nil {
		return err
	}
	n.RawNode, n.Config, n.AppendWork, n.ApplyWork = node, &cfg, nil, nil
	id := cfg.ID
	var kept []*pb.Message
	for _, m := range g.env.Messages {
		if m.GetTo() != id || !(m.GetFrom() == id || raft.IsLocalMsgTarget(m.GetFrom())) {
			kept = append(kept, m)
		}
	}
	g.env.Messages = kept
	return nil
}
