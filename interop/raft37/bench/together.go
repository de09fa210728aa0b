package main

import (
	"context"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// proposeTogether keeps every proposer's proposal in flight from one goroutine: it waits for one that is free, takes all that are, and proposes for them in one message.
func proposeTogether(ctx context.Context, h *host, proposers []*proposer, stop *atomic.Bool, from, to time.Time) {
	started := make([]time.Time, len(proposers))
	for slot := range proposers {
		h.free <- slot
	}
	waiting := 0
	for !stop.Load() || waiting > 0 {
		freed := []int{<-h.free}
		for len(h.free) > 0 {
			freed = append(freed, <-h.free)
		}
		end := time.Now()
		var entries []*pb.Entry
		for _, slot := range freed {
			p := proposers[slot]
			if p.seq > 0 {
				waiting--
				if start := started[slot]; !start.Before(from) && !end.After(to) {
					p.samples = append(p.samples, end.Sub(start).Nanoseconds())
				}
			}
			if !stop.Load() {
				entries = append(entries, &pb.Entry{Data: p.payload()})
				started[slot] = end
				waiting++
			}
		}
		if len(entries) > 0 {
			must(h.node.Step(ctx, &pb.Message{Type: pb.MsgProp.Enum(), From: new(uint64(1)), Entries: entries}))
		}
	}
}
