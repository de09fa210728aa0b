package main

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// group is the number of voters of a group.
const group = 3

type idleArgs struct{ groups, heartbeat, ticks int }

type groupsArgs struct{ groups, payload, turns int }

// groups share inboxes, because a group's are empty again after its turn.
type groups struct {
	all     [][group]member
	inboxes [group][]pb.Message
}

func (g *groups) send(message pb.Message) {
	to := message.To - 1
	g.inboxes[to] = append(g.inboxes[to], message)
}

// quiesce steps and delivers until the group has nothing left to do. What is sent to the first members, those that are dead, is lost.
func (g *groups) quiesce(members *[group]member, dead int) {
	for quiet := false; !quiet; {
		quiet = true
		for i := dead; i < group; i++ {
			m := &members[i]
			for _, message := range g.inboxes[i] {
				must(m.node.Step(message))
			}
			g.inboxes[i] = g.inboxes[i][:0]
			if m.node.HasReady() {
				quiet = false
				m.handleReady(g.send, nil, func(pb.Entry) {})
			}
		}
	}
	for i := range dead {
		g.inboxes[i] = g.inboxes[i][:0]
	}
}

func (g *groups) grow(count, heartbeat int) {
	for len(g.all) < count {
		g.all = append(g.all, [group]member{})
		members := &g.all[len(g.all)-1]
		for i := range members {
			members[i] = newMember(uint64(i+1), group, heartbeat)
		}
		must(members[0].node.Campaign())
		g.quiesce(members, 0)
		// A round of heartbeats later, all have handled what the election left.
		for range heartbeat {
			g.tick(members, 0)
		}
	}
}

func (g *groups) tick(members *[group]member, dead int) {
	for i := dead; i < group; i++ {
		members[i].node.Tick()
	}
	g.quiesce(members, dead)
}

func (g *groups) tickAll() {
	for i := range g.all {
		g.tick(&g.all[i], 0)
	}
}

// check panics unless every group kept its first leader.
func (g *groups) check() {
	for i := range g.all {
		for j := range g.all[i] {
			status := g.all[i][j].node.BasicStatus()
			if status.Lead != 1 || status.Term != 2 {
				panic(fmt.Sprintf("group %d: node %d follows %d at term %d", i, j+1, status.Lead, status.Term))
			}
		}
	}
}

func idle(a idleArgs) []field {
	g := &groups{all: make([][group]member, 0, a.groups)}
	// The first group pays for what all share.
	g.grow(1, a.heartbeat)
	before := resident()
	g.grow(a.groups, a.heartbeat)
	each := (resident() - before) / float64(max(a.groups-1, 1))
	for range max(a.heartbeat, 10) {
		g.tickAll()
	}
	clock := startClock()
	for range a.ticks {
		g.tickAll()
	}
	figures := clock.rate(a.groups * a.ticks)
	g.check()
	seconds := figures[0].value.(float64)
	return []field{
		figures[0], figures[2], {"ns_per_group_tick", seconds * 1e9 / float64(a.groups*a.ticks)},
		{"resident_bytes_per_group", each},
	}
}

// loaded gives every group one proposal, and waits for it, before the next group has its turn.
func loaded(a groupsArgs) []field {
	g := &groups{}
	g.grow(a.groups, 1)
	count := a.groups * a.turns
	all := payloads(0, count, a.payload)
	clock := startClock()
	for range a.turns {
		for i := range g.all {
			must(g.all[i][0].node.Propose(all[0]))
			all = all[1:]
			g.quiesce(&g.all[i], 0)
		}
	}
	figures := clock.rate(count)
	g.check()
	for i := range g.all {
		for j := range g.all[i] {
			// After the snapshot at 1 and the leader's own entry at 2. A follower may not have heard of the last commit.
			if status := g.all[i][j].node.BasicStatus(); status.Commit <= uint64(a.turns) {
				panic(fmt.Sprintf("group %d: node %d has committed up to %d", i, j+1, status.Commit))
			}
		}
	}
	return figures
}

// failover counts the ticks from a leader's death until another one has committed its first entry.
func failover(leaders int) []field {
	g := &groups{}
	g.grow(leaders, 1)
	ticks := make([]int, 0, leaders)
	clock := startClock()
	for i := range g.all {
		members := &g.all[i]
		before := members[0].node.BasicStatus()
		n := 0
		for !leadsBeyond(before.Commit, members[1:]) {
			n++
			if n >= 10_000 {
				panic("nobody is elected")
			}
			g.tick(members, 1)
		}
		ticks = append(ticks, n)
	}
	elapsed := clock.rate(leaders)
	slices.Sort(ticks)
	at := func(percent int) int { return ticks[min(len(ticks)*percent/100, len(ticks)-1)] }
	seconds, cpu := elapsed[0], elapsed[2]
	return []field{
		seconds, cpu, {"ticks_p50", at(50)}, {"ticks_p99", at(99)}, {"ticks_max", at(100)},
		{"us_per_failover", cpu.value.(float64) * 1e6 / float64(leaders)},
	}
}

func leadsBeyond(commit uint64, members []member) bool {
	return slices.ContainsFunc(members, func(m member) bool {
		status := m.node.BasicStatus()
		return status.RaftState == raft.StateLeader && status.Commit > commit
	})
}
