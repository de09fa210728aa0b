package main

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// readPayload is the bytes of what is written beside the reads.
const readPayload = 128

// readGroup is three nodes in one goroutine whose leader is asked for reads.
type readGroup struct {
	members  [group]member
	states   [group]applied
	indexes  [group]uint64
	inboxes  [group][]pb.Message
	messages int
	// asked and answered are requests to the leader, written proposals.
	asked, answered, written, compacted int
}

func readConfig(a readArgs, id uint64, storage raft.Storage) *raft.Config {
	c := config(id, 1, storage)
	if a.lease {
		c.CheckQuorum, c.ReadOnlyOption = true, raft.ReadOnlyLeaseBased
	}
	return c
}

func newReadGroup(a readArgs) *readGroup {
	g := &readGroup{}
	for i := range g.members {
		storage := newStorage(group)
		node, err := raft.NewRawNode(readConfig(a, uint64(i+1), storage))
		must(err)
		g.members[i] = member{node, storage}
		g.states[i] = applied{size: readPayload}
	}
	must(g.members[0].node.Campaign())
	for range 10 {
		g.pass()
	}
	if g.members[0].node.BasicStatus().RaftState != raft.StateLeader {
		panic("node 1 does not lead")
	}
	return g
}

func (g *readGroup) send(message pb.Message) {
	to := message.To - 1
	g.inboxes[to] = append(g.inboxes[to], message)
}

// pass lets every node step its inbox and handle one Ready.
func (g *readGroup) pass() {
	for i := range g.members {
		m := &g.members[i]
		inbox := g.inboxes[i]
		g.messages += len(inbox)
		for _, message := range inbox {
			must(m.node.Step(message))
		}
		clear(inbox)
		g.inboxes[i] = inbox[:0]
		if !m.node.HasReady() {
			continue
		}
		latest := uint64(0)
		answer := func(state raft.ReadState) {
			if binary.LittleEndian.Uint64(state.RequestCtx) != uint64(g.answered) {
				panic(fmt.Sprintf("another request than %d is answered", g.answered))
			}
			g.answered++
			latest = state.Index
		}
		m.handleReady(g.send, answer, func(entry pb.Entry) {
			// A new leader's entry is empty.
			if entry.Type == pb.EntryNormal && len(entry.Data) > 0 {
				g.states[i].apply(entry.Data)
			}
			g.indexes[i] = entry.Index
		})
		if latest > max(g.indexes[i], 1) {
			panic("what is read was not applied")
		}
	}
}

func (g *readGroup) settled() bool {
	for i := range g.states {
		if g.states[i].count < g.written {
			return false
		}
	}
	return g.answered >= g.asked
}

// run asks for reads, a batch at a time, with writes beside each batch.
func (g *readGroup) run(a readArgs, reads int, writes [][]byte) {
	leader := g.members[0].node
	for end := g.asked + reads; g.asked < end; {
		now := min(a.writes, len(writes))
		for _, data := range writes[:now] {
			must(leader.Propose(data))
		}
		writes = writes[now:]
		g.written += now
		for range min(a.batch, end-g.asked) {
			leader.ReadIndex(binary.LittleEndian.AppendUint64(nil, uint64(g.asked)))
			g.asked++
		}
		for passes := 0; !g.settled(); passes++ {
			if passes == maxPasses {
				panic("no answer")
			}
			g.pass()
		}
		if g.written-g.compacted >= compactEvery {
			for i := range g.members {
				must(g.members[i].storage.Compact(g.indexes[i]))
			}
			g.compacted = g.written
		}
	}
}

func read(a readArgs) []field {
	g := newReadGroup(a)
	warmup := a.reads / 10
	writes := func(reads int) int { return (reads + a.batch - 1) / a.batch * a.writes }
	g.run(a, warmup, payloads(0, writes(warmup), readPayload))
	total := writes(warmup) + writes(a.reads)
	timed := payloads(writes(warmup), total, readPayload)
	g.messages = 0
	clock := startClock()
	g.run(a, a.reads, timed)
	figures := clock.rate(a.reads)
	for i := range g.states {
		g.states[i].check(total, uint64(i+1))
	}
	return append(figures, field{"messages_per_read", float64(g.messages) / float64(a.reads)})
}
