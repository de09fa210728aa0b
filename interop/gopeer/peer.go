package gopeer

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Node is a node of some version of etcd-io/raft, with its types turned into bytes and numbers.
type Node interface {
	Tick()
	Campaign() error
	Propose(data []byte) error
	// ProposeChange takes etcd's shorthand: v4 l5 r3.
	ProposeChange(transition Transition, changes string) error
	Transfer(lead, to uint64)
	ReadIndex(request []byte) error
	// Compact takes a snapshot of the application and lets go of the log before it.
	Compact() error
	Status() Status
	receiver
}

// Transition is how a change of the configuration passes through a joint one.
type Transition int

// Auto leaves by itself, if a joint configuration is needed at all; Explicit stays until a change without changes.
const (
	Auto Transition = iota
	Explicit
)

// Status is what a node knows of itself. Ids are in order.
type Status struct {
	Role                              string
	Lead, Term, Commit, Applied       uint64
	First, Last                       uint64
	Voters, Outgoing, Learners, Nexts []uint64
}

// App is what a node asks of its application; called from one goroutine.
type App interface {
	Send(m Outgoing)
	Apply(index uint64, data []byte)
	Restore(index uint64, data []byte) error
	Snapshot() []byte
	ReadState(index uint64, request []byte)
}

// Settings are what both sides of a mixed cluster run with.
type Settings struct {
	ID                          uint64
	ElectionTick, HeartbeatTick int
	// Voters are the group's, in the snapshot at index 1 and term 1 that the log begins with; none for a node that joins.
	Voters []uint64
	Log    *log.Logger
}

// Main is a peer's main function.
func Main(start func(Settings, App) Node) {
	id := flag.Uint64("id", 0, "this node's id")
	cluster := flag.Uint64("cluster", 1, "the cluster's id")
	tick := flag.Duration("tick", 50*time.Millisecond, "the time between two ticks")
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)
	t, err := listen(*cluster, *id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %v\n", t.listener.Addr())
	p := &peer{id: *id, transport: t, state: newState(), reads: map[string]chan uint64{}, start: start}
	go p.tickEvery(*tick)
	p.control(os.Stdin, os.Stdout)
}

// peer is a running node, its transport and its state machine.
type peer struct {
	id        uint64
	transport *transport
	start     func(Settings, App) Node
	node      Node
	ticking   atomic.Bool
	nextRead  uint64

	mu    sync.Mutex
	state *state
	index uint64
	// installed counts the snapshots that came from leaders.
	installed int
	reads     map[string]chan uint64
}

func (p *peer) tickEvery(tick time.Duration) {
	for range time.Tick(tick) {
		if p.ticking.Load() {
			p.node.Tick()
		}
	}
}

func (p *peer) Send(m Outgoing) { p.transport.send(m) }

func (p *peer) Apply(index uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.apply(data)
	p.index = index
}

func (p *peer) Restore(index uint64, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	p.installed++
	return p.state.decode(data)
}

func (p *peer) Snapshot() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.encode()
}

func (p *peer) ReadState(index uint64, request []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.reads[string(request)]; c != nil {
		c <- index
		delete(p.reads, string(request))
	}
}

// control answers each command with a line, until the input ends.
func (p *peer) control(in io.Reader, out io.Writer) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer, err := p.command(strings.Fields(lines.Text()))
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Fprintln(out, answer)
	}
}

var errUsage = errors.New("no such command, or not with these arguments")

func (p *peer) command(f []string) (string, error) {
	switch {
	case len(f) == 0:
		return "", errUsage
	case f[0] == "start" && len(f) <= 2 && p.node == nil:
		return "ok", p.begin(f[1:])
	case p.node == nil:
		return "", errors.New("not started")
	}
	switch f[0] {
	case "peer", "unpeer", "cut", "heal", "transfer":
		return p.commandOnPeer(f)
	case "campaign":
		return "ok", p.node.Campaign()
	case "ticks":
		p.ticking.Store(len(f) == 2 && f[1] == "on")
		return "ok", nil
	case "tick":
		return "ok", p.repeat(f, func(int) error { p.node.Tick(); return nil })
	case "propose":
		return "ok", p.node.Propose([]byte(strings.Join(f[1:], " ")))
	case "fill":
		return "ok", p.fill(f)
	case "conf":
		return "ok", p.change(f[1:])
	case "compact":
		return "ok", p.node.Compact()
	case "read":
		return p.read(f)
	case "get":
		return p.get(f)
	case "dump":
		p.mu.Lock()
		defer p.mu.Unlock()
		return "dump " + p.state.sum(), nil
	case "status":
		return p.status(), nil
	}
	return "", errUsage
}

// begin starts the node: "start 1,2,3", or "start" for a node that joins.
func (p *peer) begin(args []string) error {
	s := Settings{ID: p.id, ElectionTick: 10, HeartbeatTick: 1, Log: log.New(log.Writer(), "raft ", log.Lmicroseconds)}
	if len(args) == 1 {
		for _, text := range strings.Split(args[0], ",") {
			id, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return err
			}
			s.Voters = append(s.Voters, id)
		}
	}
	p.node = p.start(s, p)
	p.transport.serve(p.node)
	return nil
}

func (p *peer) commandOnPeer(f []string) (string, error) {
	if len(f) < 2 {
		return "", errUsage
	}
	id, err := strconv.ParseUint(f[1], 10, 64)
	switch {
	case err != nil:
		return "", err
	case f[0] == "peer" && len(f) == 3:
		p.transport.addPeer(id, f[2])
	case f[0] == "unpeer":
		p.transport.removePeer(id)
	case f[0] == "cut":
		p.transport.setCut(id, true)
	case f[0] == "heal":
		p.transport.setCut(id, false)
	case f[0] == "transfer":
		p.node.Transfer(p.node.Status().Lead, id)
	default:
		return "", errUsage
	}
	return "ok", nil
}

// repeat does what "COMMAND N" asks for N times.
func (p *peer) repeat(f []string, do func(i int) error) error {
	if len(f) < 2 {
		return errUsage
	}
	n, err := strconv.Atoi(f[1])
	for i := 0; i < n && err == nil; i++ {
		err = do(i)
	}
	return err
}

// fill proposes many: "fill COUNT PREFIX SIZE".
func (p *peer) fill(f []string) error {
	if len(f) != 4 {
		return errUsage
	}
	size, err := strconv.Atoi(f[3])
	if err != nil {
		return err
	}
	return p.repeat(f, func(i int) error {
		return p.node.Propose(fmt.Appendf(nil, "set %s%d %s", f[2], i, strings.Repeat("x", size)))
	})
}

// change proposes a change of the configuration: "conf auto v4 r3", "conf explicit v4 l2", "conf auto" to leave a joint one.
func (p *peer) change(f []string) error {
	if len(f) == 0 || f[0] != "auto" && f[0] != "explicit" {
		return errUsage
	}
	transition := Auto
	if f[0] == "explicit" {
		transition = Explicit
	}
	return p.node.ProposeChange(transition, strings.Join(f[1:], " "))
}

// read asks for an index and waits until it is applied: "read KEY" → "read INDEX VALUE". What is lost is an error.
func (p *peer) read(f []string) (string, error) {
	if len(f) != 2 {
		return "", errUsage
	}
	p.nextRead++
	request := fmt.Sprintf("%d/%d", p.id, p.nextRead)
	answer := make(chan uint64, 1)
	p.mu.Lock()
	p.reads[request] = answer
	p.mu.Unlock()
	if err := p.node.ReadIndex([]byte(request)); err != nil {
		return "", err
	}
	late := time.After(2 * time.Second)
	var index uint64
	select {
	case index = <-answer:
	case <-late:
		return "", errors.New("no answer")
	}
	for poll := time.NewTicker(time.Millisecond); ; {
		p.mu.Lock()
		applied, value := p.index, p.state.values[f[1]]
		p.mu.Unlock()
		if applied >= index {
			poll.Stop()
			return fmt.Sprintf("read %d %s", index, orNone(value)), nil
		}
		select {
		case <-poll.C:
		case <-late:
			return "", errors.New("the index is not applied")
		}
	}
}

func (p *peer) get(f []string) (string, error) {
	if len(f) != 2 {
		return "", errUsage
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return "get " + orNone(p.state.values[f[1]]), nil
}

func orNone(value string) string {
	if value == "" {
		return "-"
	}
	return value
}

func (p *peer) status() string {
	s := p.node.Status()
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("status role=%s lead=%d term=%d commit=%d applied=%d first=%d last=%d voters=%s outgoing=%s learners=%s nexts=%s installed=%d",
		s.Role, s.Lead, s.Term, s.Commit, p.index, s.First, s.Last, ids(s.Voters), ids(s.Outgoing), ids(s.Learners), ids(s.Nexts), p.installed)
}

func ids(all []uint64) string {
	var texts []string
	for _, id := range slices.Sorted(slices.Values(all)) {
		texts = append(texts, strconv.FormatUint(id, 10))
	}
	return strings.Join(texts, ",")
}
