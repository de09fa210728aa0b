package main

import (
	"fmt"
	"math"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	// compactEvery is the number of proposals between two compactions of the log.
	compactEvery = 10_000
	// maxPasses without all having applied means that something is broken.
	maxPasses = 100_000
)

type replicationArgs struct {
	nodes, payload, batch, proposals, warmup, logLength int
	mode                                                string
	wire                                                bool
	dead, slow, behind                                  int
}

// awaited is how many nodes, the first ones, are waited for.
func (a replicationArgs) awaited() int {
	if a.slow > 0 || a.behind > 0 {
		return a.nodes - 1
	}
	return a.nodes - a.dead
}

type readArgs struct {
	batch, writes, reads int
	lease                bool
}

type codecArgs struct{ entries, payload int }

func config(id uint64, heartbeat int, storage raft.Storage) *raft.Config {
	return &raft.Config{
		ID:                       id,
		ElectionTick:             10 * heartbeat,
		HeartbeatTick:            heartbeat,
		Storage:                  storage,
		MaxSizePerMsg:            1024 * 1024,
		MaxCommittedSizePerReady: math.MaxUint64,
		MaxInflightMsgs:          512,
		Logger:                   silent{},
	}
}

func settings(c *raft.Config) []field {
	return append([]field{
		{"election_tick", c.ElectionTick}, {"heartbeat_tick", c.HeartbeatTick}, {"max_size_per_msg", c.MaxSizePerMsg},
		{"max_inflight_msgs", c.MaxInflightMsgs}, {"pre_vote", c.PreVote}, {"check_quorum", c.CheckQuorum},
		{"async_storage_writes", c.AsyncStorageWrites}, {"logger", "discard"}, {"storage", "MemoryStorage"},
	}, environment()...)
}

// newStorage starts a group of voters 1 to n as the documentation recommends: from a snapshot that holds their ConfState.
func newStorage(n int) *raft.MemoryStorage {
	voters := make([]uint64, n)
	for i := range voters {
		voters[i] = uint64(i + 1)
	}
	storage := raft.NewMemoryStorage()
	must(storage.ApplySnapshot(&pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &pb.ConfState{Voters: voters},
	}}))
	must(storage.SetHardState(&pb.HardState{Term: new(uint64(1)), Commit: new(uint64(1))}))
	return storage
}

type member struct {
	node    *raft.RawNode
	storage *raft.MemoryStorage
}

func newMember(id uint64, voters, heartbeat int) member {
	storage := newStorage(voters)
	node, err := raft.NewRawNode(config(id, heartbeat, storage))
	must(err)
	return member{node, storage}
}

// handleReady handles one Ready as the documentation orders: persist, send, apply, advance.
func (m *member) handleReady(send func(*pb.Message), answer func(raft.ReadState), apply func(*pb.Entry)) {
	ready := m.node.Ready()
	for _, state := range ready.ReadStates {
		answer(state)
	}
	must(m.storage.Append(ready.Entries))
	if !raft.IsEmptyHardState(ready.HardState) {
		must(m.storage.SetHardState(ready.HardState))
	}
	if !raft.IsEmptySnap(ready.Snapshot) {
		panic("nobody falls behind here")
	}
	for _, message := range ready.Messages {
		send(message)
	}
	for _, entry := range ready.CommittedEntries {
		apply(entry)
	}
	m.node.Advance(ready)
}

// cluster is nodes in one goroutine; members[i] has the id i+1.
type cluster struct {
	members  []member
	states   []applied
	indexes  []uint64
	inboxes  [][]*pb.Message
	wire     bool
	buffer   []byte
	messages int
	// bytes that were encoded.
	bytes int

	// awaited nodes, the first ones, are waited for.
	awaited int
	// dead nodes, among the others, take no turns, and what is sent to them is lost.
	dead bool
	// slow, unless 0, gives the others their turn in every so manieth pass.
	slow, passes int
	// low is what the logs were last compacted to.
	low uint64
	// timed leader's turns: the longest and all of them.
	timed         bool
	longest, turn time.Duration
}

func newCluster(a replicationArgs) *cluster {
	c := &cluster{
		members: make([]member, a.nodes),
		states:  make([]applied, a.nodes),
		indexes: make([]uint64, a.nodes),
		inboxes: make([][]*pb.Message, a.nodes),
		wire:    a.wire,
		awaited: a.nodes,
	}
	for i := range c.members {
		c.members[i] = newMember(uint64(i+1), a.nodes, 1)
		c.states[i] = applied{size: a.payload, whole: true}
	}
	must(c.members[0].node.Campaign())
	for range 10 {
		c.pass()
	}
	if c.members[0].node.BasicStatus().RaftState != raft.StateLeader {
		panic("node 1 does not lead")
	}
	return c
}

// overTheWire is what a real network does to a message. The decoder copies, so the frame's buffer is used again.
func (c *cluster) overTheWire(message *pb.Message) *pb.Message {
	var err error
	c.buffer, err = proto.MarshalOptions{}.MarshalAppend(c.buffer[:0], message)
	must(err)
	c.bytes += len(c.buffer)
	decoded := new(pb.Message)
	must(proto.Unmarshal(c.buffer, decoded))
	return decoded
}

func (c *cluster) send(message *pb.Message) {
	to := message.GetTo() - 1
	if c.wire {
		message = c.overTheWire(message)
	}
	c.inboxes[to] = append(c.inboxes[to], message)
}

// pass lets every node step its inbox and handle one Ready; what it sends is delivered before the next node's turn.
func (c *cluster) pass() {
	if c.awaited < len(c.members) || c.timed {
		c.unevenPass()
		return
	}
	for i := range c.members {
		c.take(i)
	}
}

// unevenPass is the same where some are not waited for, or the leader's turns are timed: the others do not pay for these questions.
func (c *cluster) unevenPass() {
	c.passes++
	for i := range c.members {
		if i >= c.awaited && c.dead {
			clear(c.inboxes[i])
			c.inboxes[i] = c.inboxes[i][:0]
			continue
		}
		if i >= c.awaited && c.slow > 0 && c.passes%c.slow != 0 {
			continue
		}
		if i == 0 && c.timed {
			begun := time.Now()
			c.take(i)
			took := time.Since(begun)
			c.longest = max(c.longest, took)
			c.turn += took
			continue
		}
		c.take(i)
	}
}

// take is node i's turn.
func (c *cluster) take(i int) {
	m := &c.members[i]
	inbox := c.inboxes[i]
	c.messages += len(inbox)
	for _, message := range inbox {
		must(m.node.Step(message))
	}
	clear(inbox)
	c.inboxes[i] = inbox[:0]
	if m.node.HasReady() {
		m.handleReady(c.send, nil, func(entry *pb.Entry) {
			// A new leader's entry is empty.
			if entry.GetType() == pb.EntryNormal && len(entry.Data) > 0 {
				c.states[i].apply(entry.Data)
			}
			c.indexes[i] = entry.GetIndex()
		})
	}
}

// lacking is how many payloads that were proposed the last node has not applied; those that are waited for have all.
func (c *cluster) lacking() int {
	return c.states[0].count - c.states[len(c.states)-1].count
}

// catchUp waits for all nodes again, until all have applied count payloads.
func (c *cluster) catchUp(count int) {
	c.awaited, c.dead, c.slow = len(c.members), false, 0
	c.settle(count)
}

// compact drops what all that live have applied, but for its last entry.
func (c *cluster) compact() {
	living := len(c.members)
	if c.dead {
		living = c.awaited
	}
	low := c.indexes[0]
	for _, index := range c.indexes[:living] {
		low = min(low, index)
	}
	// A slow node may have applied nothing since the last time.
	if low <= c.low {
		return
	}
	for i := range living {
		must(c.members[i].storage.Compact(low))
	}
	c.low = low
}

// settle passes until every node that is waited for has applied count payloads.
func (c *cluster) settle(count int) {
	for range maxPasses {
		done := true
		for i := range c.awaited {
			done = done && c.states[i].count >= count
		}
		if done {
			return
		}
		c.pass()
	}
	panic(fmt.Sprintf("no progress towards %d applied payloads", count))
}

func (c *cluster) propose(mode string, batch [][]byte) {
	leader := c.members[0].node
	if mode == "multi" {
		entries := make([]*pb.Entry, len(batch))
		for i, data := range batch {
			entries[i] = &pb.Entry{Data: data}
		}
		must(leader.Step(&pb.Message{Type: pb.MsgProp.Enum(), From: new(uint64(1)), Entries: entries}))
		return
	}
	for _, data := range batch {
		must(leader.Propose(data))
	}
}

// replicate proposes all payloads, a batch at a time, each until all that are waited for have applied it. It compacts unless the log is to be long.
func (c *cluster) replicate(a replicationArgs, all [][]byte) {
	done := c.states[0].count
	compacted := done
	for len(all) > 0 {
		batch := min(a.batch, len(all))
		c.propose(a.mode, all[:batch])
		all = all[batch:]
		done += batch
		c.settle(done)
		if a.logLength == 0 && a.behind == 0 && done-compacted >= compactEvery {
			c.compact()
			compacted = done
		}
	}
}

// fill makes the logs as long as asked for, in large batches, and tells the resident bytes of an entry.
func (c *cluster) fill(a replicationArgs) []field {
	const portion = 65_536
	before := resident()
	a.mode, a.batch = "multi", 256
	for from, end := a.warmup, a.warmup+a.logLength; from < end; from += portion {
		c.replicate(a, payloads(from, min(from+portion, end), a.payload))
	}
	return []field{{"resident_bytes_per_entry", max(resident()-before, 0) / float64(a.logLength)}}
}

func replication(a replicationArgs) []field {
	c := newCluster(a)
	if a.dead > 0 || a.slow > 0 {
		c.awaited, c.dead, c.slow = a.awaited(), a.dead > 0, a.slow
	}
	first := a.warmup + a.logLength
	total := first + a.proposals
	c.replicate(a, payloads(0, a.warmup, a.payload))
	for i := range c.states {
		c.states[i].whole = false
	}
	if a.behind > 0 {
		return behind(a, c)
	}
	var filled []field
	if a.logLength > 0 {
		filled = c.fill(a)
	}
	timed := payloads(first, total, a.payload)
	c.messages, c.bytes = 0, 0
	clock := startClock()
	c.replicate(a, timed)
	figures := clock.rate(a.proposals)
	figures = append(figures, field{"messages_per_proposal", float64(c.messages) / float64(a.proposals)})
	if a.wire {
		figures = append(figures, field{"bytes_per_proposal", float64(c.bytes) / float64(a.proposals)})
	}
	if a.slow > 0 {
		figures = append(figures, field{"slow_lacks", c.lacking()})
		c.catchUp(total)
	}
	c.check(total)
	return append(figures, filled...)
}

// check panics unless all that are waited for have applied exactly the payloads 0 to total-1.
func (c *cluster) check(total int) {
	for i := range c.awaited {
		c.states[i].check(total, uint64(i+1))
	}
}

// batches replicates batch by batch, and tells when the last node first had all.
func (c *cluster) batches(a replicationArgs, all [][]byte) (caughtUp time.Time) {
	for len(all) > 0 {
		batch := min(a.batch, len(all))
		c.replicate(a, all[:batch])
		all = all[batch:]
		if caughtUp.IsZero() && c.lacking() == 0 {
			caughtUp = time.Now()
		}
	}
	return caughtUp
}

// behind cuts the last node off for a.behind entries and for the timed proposals before; then it comes back.
func behind(a replicationArgs, c *cluster) []field {
	c.awaited, c.dead = a.awaited(), true
	long := a
	long.logLength = a.behind
	c.fill(long)
	first := a.warmup + a.behind
	total := first + 2*a.proposals
	without := payloads(first, first+a.proposals, a.payload)
	meanwhile := payloads(first+a.proposals, total, a.payload)

	clock := startClock()
	c.batches(a, without)
	before := time.Since(clock.wall).Seconds()

	c.timed = true
	clock = startClock()
	// The next heartbeat finds it.
	c.dead = false
	c.members[0].node.Tick()
	caughtUp := c.batches(a, meanwhile)
	figures := clock.rate(a.proposals)
	after := figures[0].value.(float64)
	c.catchUp(total)
	if caughtUp.IsZero() {
		caughtUp = time.Now()
	}
	c.check(total)
	return append(figures, field{"per_second_before", float64(a.proposals) / before}, field{"of_before", before / after},
		field{"catch_up_seconds", caughtUp.Sub(clock.wall).Seconds()},
		field{"longest_turn_ms", c.longest.Seconds() * 1e3}, field{"turns_ms", c.turn.Seconds() * 1e3})
}

func codecSettings() []field {
	return []field{{"codec", "google.golang.org/protobuf"}, {"encode", "MarshalAppend into a reused buffer"}, {"decode", "Unmarshal into a new Message"}}
}

func codec(a codecArgs) []field {
	message := &pb.Message{
		Type: pb.MsgApp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(5)),
		LogTerm: new(uint64(5)), Index: new(uint64(999_999)), Commit: new(uint64(999_990)),
	}
	for i := range a.entries {
		message.Entries = append(message.Entries, &pb.Entry{
			Term: new(uint64(5)), Index: new(uint64(1_000_000 + i)), Data: payload(uint64(i), a.payload),
		})
	}
	frame, err := proto.Marshal(message)
	must(err)
	decoded := new(pb.Message)
	must(proto.Unmarshal(frame, decoded))
	if !proto.Equal(decoded, message) {
		panic("decoding gives another message")
	}
	var buffer []byte
	encode := nanosPerCall(func() {
		buffer, err = proto.MarshalOptions{}.MarshalAppend(buffer[:0], message)
		must(err)
	})
	decode := nanosPerCall(func() {
		decoded = new(pb.Message)
		must(proto.Unmarshal(frame, decoded))
	})
	return []field{{"bytes", len(frame)}, {"encode_ns", encode}, {"decode_ns", decode}}
}

// silent is a logger that discards everything but a panic.
type silent struct{}

func (silent) Debug(...any)            {}
func (silent) Debugf(string, ...any)   {}
func (silent) Error(...any)            {}
func (silent) Errorf(string, ...any)   {}
func (silent) Info(...any)             {}
func (silent) Infof(string, ...any)    {}
func (silent) Warning(...any)          {}
func (silent) Warningf(string, ...any) {}
func (silent) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (silent) Panic(v ...any)          { panic(fmt.Sprint(v...)) }

func (silent) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (silent) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
