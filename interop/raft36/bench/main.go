// Command bench drives go.etcd.io/raft/v3 for the comparison in benches/. It takes the arguments that every rival's driver takes
// (benches/peers/README.md) and prints one line of JSON.
package main

import (
	"flag"
	"fmt"
	"os"
)

// minPayload is a payload's sequence number and the word that checks it.
const minPayload = 16

func main() {
	if len(os.Args) < 2 {
		fatalf("usage: bench replication|node|onenode|idle|groups|failover|read|codec [flags]")
	}
	name, arguments := os.Args[1], os.Args[2:]
	switch name {
	case "replication":
		replicationMain(arguments)
	case "node":
		nodeMain(arguments)
	case "onenode":
		oneNodeMain(arguments)
	case "idle":
		idleMain(arguments)
	case "groups":
		groupsMain(arguments)
	case "failover":
		failoverMain(arguments)
	case "read":
		readMain(arguments)
	case "codec":
		codecMain(arguments)
	case "clients":
		unsupported(head(name), "clients in flight are measured by the bench node")
	case "wal":
		unsupported(head(name), "the library has no log on disk")
	default:
		fatalf("no bench is called %q", name)
	}
}

func fatalf(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(2)
}

func parse(set *flag.FlagSet, arguments []string) {
	// The set exits by itself on an error.
	_ = set.Parse(arguments)
	if set.NArg() > 0 {
		fatalf("unexpected argument %q", set.Arg(0))
	}
}

func within(name string, value, low, high int) {
	if value < low || value > high {
		fatalf("--%s is %d, not within %d to %d", name, value, low, high)
	}
}

const noUpperBound = 1 << 40

func replicationMain(arguments []string) {
	var a replicationArgs
	set := flag.NewFlagSet("replication", flag.ExitOnError)
	set.IntVar(&a.nodes, "nodes", 3, "voters")
	set.IntVar(&a.payload, "payload", 128, "bytes a payload")
	set.IntVar(&a.batch, "batch", 16, "proposals between two passes over the nodes")
	set.StringVar(&a.mode, "mode", "single", "single, append-batching or multi")
	set.BoolVar(&a.wire, "wire", false, "encode and decode each message between nodes")
	set.IntVar(&a.proposals, "proposals", 200000, "timed proposals")
	set.IntVar(&a.warmup, "warmup", 20000, "proposals before the clock starts")
	set.IntVar(&a.logLength, "log-length", 0, "entries that lie in every log when the clock starts; from then on nothing is compacted")
	set.IntVar(&a.dead, "dead", 0, "nodes, the last ones, that are dead from before the warm-up on")
	set.IntVar(&a.slow, "slow", 0, "passes of which the last node takes its turn in one; it is not waited for")
	set.IntVar(&a.behind, "behind", 0, "entries that are replicated while the last node is cut off; it comes back when the clock starts")
	parse(set, arguments)
	within("nodes", a.nodes, 1, 15)
	within("dead", a.dead, 0, (a.nodes-1)/2)
	within("slow", a.slow, 0, noUpperBound)
	within("behind", a.behind, 0, noUpperBound)
	within("awaited nodes", a.awaited(), a.nodes/2+1, a.nodes)
	within("payload", a.payload, minPayload, noUpperBound)
	within("batch", a.batch, 1, noUpperBound)
	within("proposals", a.proposals, 1, noUpperBound)
	within("warmup", a.warmup, 0, noUpperBound)
	within("log-length", a.logLength, 0, noUpperBound)
	line := head("replication", field{"nodes", a.nodes}, field{"payload", a.payload}, field{"batch", a.batch},
		field{"mode", a.mode}, field{"wire", a.wire}, field{"proposals", a.proposals}, field{"log_length", a.logLength},
		field{"dead", a.dead}, field{"slow", a.slow}, field{"behind", a.behind})
	switch a.mode {
	case "single", "multi":
		figures := replication(a)
		report(line, figures, settings(config(1, 1, nil)))
	case "append-batching":
		unsupported(line, "the library does not merge MsgApps")
	default:
		fatalf("no mode is called %q", a.mode)
	}
}

func nodeMain(arguments []string) {
	var a nodeArgs
	set := flag.NewFlagSet("node", flag.ExitOnError)
	set.IntVar(&a.nodes, "nodes", 3, "voters")
	set.IntVar(&a.window, "window", 64, "proposals in flight")
	set.IntVar(&a.payload, "payload", 128, "bytes a payload")
	set.Float64Var(&a.seconds, "seconds", 5, "length of the timed window")
	channel := set.Bool("channel", false, "take Readys from the channel: what this library always does")
	set.BoolVar(&a.together, "together", false, "one goroutine proposes what is free in one message, rather than a goroutine a proposal")
	parse(set, arguments)
	within("nodes", a.nodes, 1, 15)
	within("window", a.window, 1, 1<<20)
	within("payload", a.payload, minPayload, noUpperBound)
	line := head("node", field{"nodes", a.nodes}, field{"window", a.window}, field{"payload", a.payload}, field{"channel", *channel}, field{"together", a.together})
	report(line, threadedNode(a), settings(config(1, 1, nil)))
}

func oneNodeMain(arguments []string) {
	var a oneNodeArgs
	set := flag.NewFlagSet("onenode", flag.ExitOnError)
	set.IntVar(&a.proposals, "proposals", 200000, "proposals")
	set.IntVar(&a.syncMicros, "sync-micros", 1000, "sleep between append and advance")
	parse(set, arguments)
	within("proposals", a.proposals, 1, noUpperBound)
	within("sync-micros", a.syncMicros, 0, noUpperBound)
	line := head("onenode", field{"proposals", a.proposals}, field{"sync_micros", a.syncMicros})
	report(line, oneNode(a), settings(config(1, 1, nil)))
}

func idleMain(arguments []string) {
	var a idleArgs
	set := flag.NewFlagSet("idle", flag.ExitOnError)
	set.IntVar(&a.groups, "groups", 10000, "groups of three nodes")
	set.IntVar(&a.heartbeat, "heartbeat", 1, "ticks between heartbeats")
	set.IntVar(&a.ticks, "ticks", 200, "timed ticks of every node")
	parse(set, arguments)
	within("groups", a.groups, 1, noUpperBound)
	within("heartbeat", a.heartbeat, 1, 1<<20)
	within("ticks", a.ticks, 1, noUpperBound)
	line := head("idle", field{"groups", a.groups}, field{"heartbeat", a.heartbeat}, field{"ticks", a.ticks})
	report(line, idle(a), settings(config(1, a.heartbeat, nil)))
}

func groupsMain(arguments []string) {
	var a groupsArgs
	set := flag.NewFlagSet("groups", flag.ExitOnError)
	set.IntVar(&a.groups, "groups", 1000, "groups of three nodes")
	set.IntVar(&a.payload, "payload", 128, "bytes a payload")
	set.IntVar(&a.turns, "turns", 100, "timed turns; in each, every group replicates one proposal")
	parse(set, arguments)
	within("groups", a.groups, 1, noUpperBound)
	within("payload", a.payload, minPayload, noUpperBound)
	within("turns", a.turns, 1, noUpperBound)
	line := head("groups", field{"groups", a.groups}, field{"payload", a.payload}, field{"turns", a.turns})
	report(line, loaded(a), settings(config(1, 1, nil)))
}

func failoverMain(arguments []string) {
	set := flag.NewFlagSet("failover", flag.ExitOnError)
	leaders := set.Int("leaders", 2000, "leaders that die, each in a group of three of its own")
	parse(set, arguments)
	within("leaders", *leaders, 1, noUpperBound)
	report(head("failover", field{"leaders", *leaders}), failover(*leaders), settings(config(1, 1, nil)))
}

func readMain(arguments []string) {
	var a readArgs
	set := flag.NewFlagSet("read", flag.ExitOnError)
	set.IntVar(&a.batch, "batch", 16, "requests between two passes over the nodes, each with a context of its own")
	set.BoolVar(&a.lease, "lease", false, "by the leader's lease, without asking the others")
	set.IntVar(&a.writes, "writes", 0, "proposals of 128 B that are replicated with each batch")
	set.IntVar(&a.reads, "reads", 200000, "timed requests")
	parse(set, arguments)
	within("batch", a.batch, 1, noUpperBound)
	within("writes", a.writes, 0, noUpperBound)
	within("reads", a.reads, 1, noUpperBound)
	line := head("read", field{"batch", a.batch}, field{"lease", a.lease}, field{"writes", a.writes}, field{"reads", a.reads})
	report(line, read(a), settings(readConfig(a, 1, nil)))
}

func codecMain(arguments []string) {
	var a codecArgs
	set := flag.NewFlagSet("codec", flag.ExitOnError)
	set.IntVar(&a.entries, "entries", 16, "entries of the MsgApp")
	set.IntVar(&a.payload, "payload", 128, "bytes a payload")
	parse(set, arguments)
	within("entries", a.entries, 1, noUpperBound)
	within("payload", a.payload, minPayload, noUpperBound)
	line := head("codec", field{"entries", a.entries}, field{"payload", a.payload})
	report(line, codec(a), append(environment(), codecSettings()...))
}
