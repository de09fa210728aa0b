package main

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/quorum"
)

// acked is what each voter acknowledged.
type acked map[uint64]quorum.Index

func (a acked) AckedIndex(id uint64) (quorum.Index, bool) {
	index, ok := a[id]
	return index, ok
}

// question is what a command about a quorum asks. The values are given for each voter, in the order of the two halves without repetition; `_` is for one
// that was not heard of.
type question struct {
	halves [2][]uint64
	joint  bool
	given  []string
}

func parseQuestion(t *testing.T, d *datadriven.TestData) question {
	var q question
	half := map[string]int{"cfg": 0, "cfgj": 1}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "cfg", "cfgj":
			at := half[arg.Key]
			q.joint = q.joint || at == 1
			for _, val := range arg.Vals {
				if val != "zero" {
					q.halves[at] = append(q.halves[at], parseNumber(t, val))
				}
			}
		case "idx", "votes":
			q.given = append(q.given, arg.Vals...)
		default:
			t.Fatalf("%s: unknown argument %s", d.Pos, arg.Key)
		}
	}
	return q
}

func parseNumber(t *testing.T, val string) uint64 {
	n, err := strconv.ParseUint(val, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// each calls f with each voter and what was given for it.
func (q question) each(t *testing.T, f func(id uint64, val string)) {
	seen := map[uint64]bool{}
	for _, half := range q.halves {
		for _, id := range half {
			if seen[id] {
				continue
			}
			if len(seen) == len(q.given) {
				t.Fatalf("nothing is given for %d", id)
			}
			if val := q.given[len(seen)]; val != "_" {
				f(id, val)
			}
			seen[id] = true
		}
	}
}

func (q question) config() quorum.JointConfig {
	c := quorum.JointConfig{quorum.MajorityConfig{}, quorum.MajorityConfig{}}
	for at, half := range q.halves {
		for _, id := range half {
			c[at][id] = struct{}{}
		}
	}
	return c
}

// handleQuorum runs the commands committed and vote.
func handleQuorum(t *testing.T, d *datadriven.TestData) string {
	q := parseQuestion(t, d)
	c := q.config()
	if d.Cmd == "vote" {
		votes := map[uint64]bool{}
		q.each(t, func(id uint64, val string) { votes[id] = val == "y" })
		if q.joint {
			return fmt.Sprintf("%s\n", c.VoteResult(votes))
		}
		return fmt.Sprintf("%s\n", c[0].VoteResult(votes))
	}
	l := acked{}
	q.each(t, func(id uint64, val string) { l[id] = quorum.Index(parseNumber(t, val)) })
	if q.joint {
		return fmt.Sprintf("%s%s\n", c.Describe(l), c.CommittedIndex(l))
	}
	return fmt.Sprintf("%s%s\n", c[0].Describe(l), c[0].CommittedIndex(l))
}
