package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// tickEvery is raftexample's tick.
const tickEvery = 100 * time.Millisecond

type nodeArgs struct {
	nodes, window, payload int
	seconds                float64
	// together: one goroutine proposes what is free as one message, instead of a goroutine a proposal.
	together bool
}

// host runs one threaded Node: a goroutine for its Readys, as in raftexample, and one that hands it what the network brings.
type host struct {
	id      uint64
	node    raft.Node
	storage *raft.MemoryStorage
	in      chan pb.Message
	hosts   []*host
	stop    chan struct{}
	// slots are the proposers that wait, on the host that they propose to.
	slots []chan struct{}
	// free is where the one that proposes together hears of slots, instead.
	free chan int

	// index is the last applied index; others read it.
	index     atomic.Uint64
	compacted uint64
	size      int
	count     int
	sum       uint64
	// last is each proposer's last applied sequence number.
	last []uint32
}

func newHosts(a nodeArgs) []*host {
	hosts := make([]*host, a.nodes)
	for i := range hosts {
		storage := newStorage(a.nodes)
		hosts[i] = &host{
			id:      uint64(i + 1),
			storage: storage,
			in:      make(chan pb.Message, 4096),
			hosts:   hosts,
			stop:    make(chan struct{}),
			size:    a.payload,
			last:    make([]uint32, a.window),
		}
		hosts[i].node = raft.RestartNode(config(uint64(i+1), 1, storage))
	}
	if a.together {
		hosts[0].free = make(chan int, a.window)
		return hosts
	}
	for range a.window {
		hosts[0].slots = append(hosts[0].slots, make(chan struct{}, 1))
	}
	return hosts
}

// serve handles Readys until stopped.
func (h *host) serve() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.node.Tick()
		case ready := <-h.node.Ready():
			must(h.storage.Append(ready.Entries))
			if !raft.IsEmptyHardState(ready.HardState) {
				must(h.storage.SetHardState(ready.HardState))
			}
			h.send(ready.Messages)
			for _, entry := range ready.CommittedEntries {
				h.apply(entry)
			}
			h.compact()
			h.node.Advance()
		case <-h.stop:
			return
		}
	}
}

func (h *host) send(messages []pb.Message) {
	for _, message := range messages {
		select {
		case h.hosts[message.To-1].in <- message:
		case <-h.stop:
			return
		}
	}
}

// receive hands the node what the network brings until stopped.
func (h *host) receive(ctx context.Context) {
	for {
		select {
		case message := <-h.in:
			if h.node.Step(ctx, message) != nil {
				return
			}
		case <-h.stop:
			return
		}
	}
}

func (h *host) apply(entry pb.Entry) {
	if entry.Type == pb.EntryNormal && len(entry.Data) > 0 {
		first := binary.LittleEndian.Uint64(entry.Data)
		slot, seq := int(first>>32), uint32(first)
		if len(entry.Data) != h.size || h.last[slot]+1 != seq {
			panic(fmt.Sprintf("node %d: proposer %d's entry %d follows %d", h.id, slot, seq, h.last[slot]))
		}
		h.last[slot] = seq
		h.sum = fold(h.sum, first, binary.LittleEndian.Uint64(entry.Data[h.size-8:]), uint64(h.size))
		h.count++
		switch {
		case h.slots != nil:
			h.slots[slot] <- struct{}{}
		case h.free != nil:
			h.free <- slot
		}
	}
	h.index.Store(entry.Index)
}

// compact drops what all nodes have applied.
func (h *host) compact() {
	low := h.index.Load()
	if low < h.compacted+compactEvery {
		return
	}
	for _, other := range h.hosts {
		low = min(low, other.index.Load())
	}
	if low >= h.compacted+compactEvery {
		must(h.storage.Compact(low))
		h.compacted = low
	}
}

// proposer has one proposal in flight.
type proposer struct {
	slot, size int
	seq        uint32
	samples    []int64
}

func (p *proposer) payload() []byte {
	p.seq++
	data := make([]byte, p.size)
	first := uint64(p.slot)<<32 | uint64(p.seq)
	binary.LittleEndian.PutUint64(data, first)
	binary.LittleEndian.PutUint64(data[p.size-8:], mix(first))
	return data
}

// run proposes until stopped; latencies within the window from..to are kept.
func (p *proposer) run(ctx context.Context, h *host, stop *atomic.Bool, from, to time.Time) {
	for !stop.Load() {
		data := p.payload()
		start := time.Now()
		must(h.node.Propose(ctx, data))
		<-h.slots[p.slot]
		end := time.Now()
		if !start.Before(from) && !end.After(to) {
			p.samples = append(p.samples, end.Sub(start).Nanoseconds())
		}
	}
}

// waitFor polls a condition that the running nodes bring about.
func waitFor(what string, condition func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			panic("in vain: " + what)
		}
	}
}

// threadedNode keeps a window of proposals in flight on the leader's Node, a goroutine each, until applied there.
func threadedNode(a nodeArgs) []field {
	ctx := context.Background()
	hosts := newHosts(a)
	var running sync.WaitGroup
	for _, h := range hosts {
		running.Go(h.serve)
		running.Go(func() { h.receive(ctx) })
	}
	leader := hosts[0]
	must(leader.node.Campaign(ctx))
	waitFor("node 1 leads", func() bool { return leader.node.Status().RaftState == raft.StateLeader })
	term := leader.node.Status().Term

	length := time.Duration(a.seconds * float64(time.Second))
	from := time.Now().Add(max(length/5, 200*time.Millisecond))
	to := from.Add(length)
	proposers := make([]*proposer, a.window)
	var proposing sync.WaitGroup
	var stop atomic.Bool
	for i := range proposers {
		p := &proposer{slot: i, size: a.payload, samples: make([]int64, 0, 1<<20/a.window)}
		proposers[i] = p
		if !a.together {
			proposing.Go(func() { p.run(ctx, leader, &stop, from, to) })
		}
	}
	if a.together {
		proposing.Go(func() { proposeTogether(ctx, leader, proposers, &stop, from, to) })
	}
	time.Sleep(time.Until(from))
	cpu := cpuSeconds()
	time.Sleep(time.Until(to))
	cpu = cpuSeconds() - cpu
	stop.Store(true)
	proposing.Wait()

	total, samples := 0, []int64(nil)
	for _, p := range proposers {
		total += int(p.seq)
		samples = append(samples, p.samples...)
	}
	last := leader.index.Load()
	waitFor("all have applied all", func() bool {
		for _, h := range hosts {
			if h.index.Load() < last {
				return false
			}
		}
		return true
	})
	stillTerm := leader.node.Status().Term
	shutDown(hosts, &running)
	checkHosts(hosts, total)
	if stillTerm != term {
		panic("an election disturbed the run")
	}
	count := len(samples)
	figures := []field{
		{"seconds", a.seconds}, {"operations", count}, {"per_second", float64(count) / a.seconds}, {"cpu_seconds", cpu},
	}
	return append(figures, percentiles(samples)...)
}

func shutDown(hosts []*host, running *sync.WaitGroup) {
	for _, h := range hosts {
		close(h.stop)
	}
	for _, h := range hosts {
		h.node.Stop()
	}
	running.Wait()
}

// checkHosts panics unless all applied the same total entries in the same order.
func checkHosts(hosts []*host, total int) {
	for _, h := range hosts {
		if h.count != total {
			panic(fmt.Sprintf("node %d applied %d entries, not %d", h.id, h.count, total))
		}
		if h.sum != hosts[0].sum {
			panic(fmt.Sprintf("node %d applied other contents", h.id))
		}
	}
}

type oneNodeArgs struct{ proposals, syncMicros int }

// oneNode has the shape of etcd's BenchmarkOneNode: one goroutine proposes, the other appends, sleeps for the time of a sync and
// advances, until all is committed.
func oneNode(a oneNodeArgs) []field {
	ctx := context.Background()
	storage := newStorage(1)
	node := raft.RestartNode(config(1, 1, storage))
	defer node.Stop()
	clock := startClock()
	must(node.Campaign(ctx))
	go func() {
		for range a.proposals {
			must(node.Propose(ctx, []byte("foo")))
		}
	}()
	// After the snapshot at 1 and the leader's own entry at 2.
	last := uint64(a.proposals) + 2
	committed := 0
	for {
		ready := <-node.Ready()
		must(storage.Append(ready.Entries))
		if a.syncMicros > 0 {
			time.Sleep(time.Duration(a.syncMicros) * time.Microsecond)
		}
		for _, entry := range ready.CommittedEntries {
			if string(entry.Data) == "foo" {
				committed++
			}
		}
		node.Advance()
		if committed == a.proposals {
			break
		}
	}
	figures := clock.rate(a.proposals)
	if index, err := storage.LastIndex(); err != nil || index != last {
		panic(fmt.Sprintf("the log ends at %d, not %d", index, last))
	}
	seconds := figures[0].value.(float64)
	return append(figures, field{"ns_per_proposal", seconds * 1e9 / float64(a.proposals)})
}
