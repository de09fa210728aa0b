package gopeer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"
)

const (
	dialTimeout     = 3 * time.Second
	readTimeout     = 5 * time.Second
	snapshotTimeout = 30 * time.Second
	backoffMin      = 50 * time.Millisecond
	backoffMax      = time.Second
	queueLength     = 4096
	piece           = 256 << 10
)

// Outgoing is a message on its way to a peer. A snapshot's data travels beside it.
type Outgoing struct {
	To       uint64
	Message  []byte
	Snapshot bool
	Data     []byte
}

// receiver is who takes what the transport brings.
type receiver interface {
	Step(from uint64, message []byte) error
	StepSnapshot(from uint64, message, data []byte) error
	ReportUnreachable(id uint64)
	ReportSnapshot(id uint64, ok bool)
}

// transport carries messages in tickraft's framing.
type transport struct {
	cluster, id uint64
	listener    net.Listener
	to          receiver

	mu    sync.Mutex
	peers map[uint64]*link
	// cut are the peers that nothing goes to or comes from: a partition.
	cut map[uint64]bool
}

// link is a peer and what waits for it.
type link struct {
	t       *transport
	id      uint64
	address string
	queue   chan []byte
	gone    chan struct{}
}

func listen(cluster, id uint64) (*transport, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &transport{cluster: cluster, id: id, listener: l, peers: map[uint64]*link{}, cut: map[uint64]bool{}}, nil
}

// serve accepts connections for the receiver, until the process ends.
func (t *transport) serve(to receiver) {
	t.to = to
	go func() {
		for {
			conn, err := t.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if err := t.accept(conn); err != nil {
					log.Printf("from %v: %v", conn.RemoteAddr(), err)
				}
			}()
		}
	}()
}

func (t *transport) addPeer(id uint64, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.peers[id]; old != nil {
		if old.address == address {
			return
		}
		close(old.gone)
	}
	l := &link{t: t, id: id, address: address, queue: make(chan []byte, queueLength), gone: make(chan struct{})}
	t.peers[id] = l
	go l.run()
}

func (t *transport) removePeer(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.peers[id]; l != nil {
		close(l.gone)
		delete(t.peers, id)
	}
}

func (t *transport) setCut(id uint64, cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut[id] = cut
}

func (t *transport) isCut(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut[id]
}

// send never waits. What is lost between nodes that are cut apart is lost without a word, as on a network.
func (t *transport) send(m Outgoing) {
	t.mu.Lock()
	l, cut := t.peers[m.To], t.cut[m.To]
	t.mu.Unlock()
	switch {
	case l == nil || cut:
		if m.Snapshot {
			go t.to.ReportSnapshot(m.To, false)
		}
	case m.Snapshot:
		go func() {
			err := l.sendSnapshot(m)
			if err != nil {
				log.Printf("snapshot to %d: %v", l.id, err)
			}
			t.to.ReportSnapshot(m.To, err == nil)
		}()
	default:
		select {
		case l.queue <- m.Message:
		default:
			go t.to.ReportUnreachable(m.To)
		}
	}
}

// dial connects and shakes hands.
func (l *link) dial(kind byte) (net.Conn, answer, error) {
	conn, err := net.DialTimeout("tcp", l.address, dialTimeout)
	if err != nil {
		return nil, answer{}, err
	}
	h := hello{low: version, high: version, kind: kind, cluster: l.t.cluster, from: l.t.id, to: l.id, address: l.t.listener.Addr().String()}
	a, err := func() (answer, error) {
		if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
			return answer{}, err
		}
		if _, err := conn.Write(h.encode()); err != nil {
			return answer{}, err
		}
		a, err := readAnswer(conn)
		switch {
		case err != nil:
			return a, err
		case a.code != 0:
			return a, fmt.Errorf("refused with code %d: %s", a.code, a.text)
		case a.version != version || a.id != l.id:
			return a, fmt.Errorf("version %d of node %d answers", a.version, a.id)
		}
		return a, conn.SetDeadline(time.Time{})
	}()
	if err != nil {
		conn.Close()
		return nil, a, err
	}
	return conn, a, nil
}

// run keeps a connection for messages, until the peer is removed.
func (l *link) run() {
	pause := backoffMin
	for {
		conn, a, err := l.dial(kindMessages)
		if err == nil {
			pause = backoffMin
			err = l.write(conn, a)
			conn.Close()
		}
		log.Printf("to %d: %v", l.id, err)
		l.t.to.ReportUnreachable(l.id)
		select {
		case <-l.gone:
			return
		case <-time.After(pause):
			pause = min(2*pause, backoffMax)
		}
	}
}

// write sends messages and pings until the connection breaks.
func (l *link) write(conn net.Conn, a answer) error {
	broken := make(chan error, 1)
	go func() { broken <- watch(conn) }()
	every := time.Duration(a.readTimeoutMs) * time.Millisecond / 3
	ping := time.NewTicker(max(min(every, time.Second), time.Millisecond))
	defer ping.Stop()
	out := bufio.NewWriter(conn)
	var frame []byte
	put := func(payload []byte) {
		frame = appendFrame(frame[:0], payload)
		out.Write(frame) // the error stays until Flush
	}
	put(nil)
	for {
		select {
		case err := <-broken:
			return err
		case <-l.gone:
			return errors.New("the peer was removed")
		case <-ping.C:
			put(nil)
		case m := <-l.queue:
			if len(m) > int(a.maxFrame) {
				continue
			}
			put(m)
			for more := len(l.queue); more > 0; more-- {
				put(<-l.queue)
			}
		}
		if err := conn.SetWriteDeadline(time.Now().Add(readTimeout)); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// watch reads pongs and, last, a farewell.
func watch(conn net.Conn) error {
	for {
		if err := conn.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
			return err
		}
		payload, err := readFrame(conn)
		if err != nil {
			return err
		}
		if len(payload) > 0 {
			return fmt.Errorf("farewell: %v", readVerdict(payload))
		}
	}
}

// sendSnapshot takes a connection of its own.
func (l *link) sendSnapshot(m Outgoing) error {
	conn, _, err := l.dial(kindSnapshot)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(snapshotTimeout)); err != nil {
		return err
	}
	head := le.AppendUint64(nil, uint64(len(m.Data)))
	head = le.AppendUint64(head, 0) // no body
	out := bufio.NewWriter(conn)
	out.Write(appendFrame(nil, append(head, m.Message...))) // the error stays until Flush
	for rest := m.Data; len(rest) > 0; {
		n := min(len(rest), piece)
		out.Write(appendFrame(nil, rest[:n]))
		rest = rest[n:]
	}
	out.Write(appendFrame(nil, nil))
	if err := out.Flush(); err != nil {
		return err
	}
	payload, err := readFrame(conn)
	if err != nil {
		return err
	}
	return readVerdict(payload)
}

// accept is the life of a connection from a peer.
func (t *transport) accept(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	h, err := readHello(conn)
	if err != nil {
		return err
	}
	a := answer{
		low: version, high: version, version: version, id: t.id, maxFrame: maxFrame, readTimeoutMs: uint32(readTimeout.Milliseconds()),
		code: t.judge(h), cluster: t.cluster,
	}
	if a.code != 0 {
		a.version = 0
	}
	if _, err := conn.Write(a.encode()); err != nil {
		return err
	}
	switch {
	case a.code != 0:
		return fmt.Errorf("node %d is refused with code %d", h.from, a.code)
	case h.kind == kindMessages:
		return t.readMessages(conn, h.from)
	case h.kind == kindSnapshot:
		return t.readSnapshot(conn, h.from)
	}
	return nil
}

func (t *transport) judge(h hello) byte {
	t.mu.Lock()
	known := t.peers[h.from] != nil
	t.mu.Unlock()
	switch {
	case h.low > version || h.high < version:
		return refusedVersion
	case h.cluster != t.cluster:
		return refusedWrongCluster
	case h.to != t.id:
		return refusedWrongTo
	case !known:
		return refusedUnknownSender
	case h.kind < kindMessages || h.kind > kindProbe:
		return refusedMalformed
	}
	return 0
}

func (t *transport) readMessages(conn net.Conn, from uint64) error {
	in := bufio.NewReader(conn)
	for {
		if err := conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
			return err
		}
		payload, err := readFrame(in)
		switch {
		case err != nil:
			return err
		case len(payload) == 0:
			_, err = conn.Write(appendFrame(nil, nil)) // a pong: what came before is processed
		case !t.isCut(from):
			// A message that the node refuses is no reason to close.
			if err := t.to.Step(from, payload); err != nil {
				log.Printf("a message from %d: %v", from, err)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (t *transport) readSnapshot(conn net.Conn, from uint64) error {
	if err := conn.SetDeadline(time.Now().Add(snapshotTimeout)); err != nil {
		return err
	}
	message, data, err := readSnapshotFrames(bufio.NewReader(conn))
	code := byte(refusedMalformed)
	if err == nil {
		code = refusedFailed
		if t.isCut(from) {
			err = errors.New("cut off")
		} else {
			err = t.to.StepSnapshot(from, message, data)
		}
	}
	v := verdict(0, "")
	if err != nil {
		v = verdict(code, err.Error())
	}
	if _, e := conn.Write(appendFrame(nil, v)); err == nil {
		err = e
	}
	return err
}

func readSnapshotFrames(in *bufio.Reader) (message, data []byte, err error) {
	head, err := readFrame(in)
	if err != nil {
		return nil, nil, err
	}
	if len(head) < 16 {
		return nil, nil, errors.New("a snapshot without a head")
	}
	size, body := le.Uint64(head), le.Uint64(head[8:])
	if body != 0 {
		return nil, nil, errors.New("a snapshot with a body, which nobody here reads")
	}
	var all bytes.Buffer
	for {
		frame, err := readFrame(in)
		if err != nil {
			return nil, nil, err
		}
		if len(frame) == 0 {
			break
		}
		all.Write(frame)
		if uint64(all.Len()) > size {
			return nil, nil, errors.New("a snapshot that is longer than announced")
		}
	}
	if uint64(all.Len()) != size {
		return nil, nil, errors.New("a snapshot that is shorter than announced")
	}
	return head[16:], all.Bytes(), nil
}
