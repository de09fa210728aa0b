// Package gopeer is what a node on etcd-io/raft needs to live in a cluster of tickraft nodes: tickraft's framing over TCP, a map as state machine, and a
// control interface on standard input and output. It knows no version of etcd-io/raft: interop/raft37/peer and interop/raft36/peer bring one each.
package gopeer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The bytes are described in transport-tcp/src/handshake.rs and frame.rs; transport-tcp/tests/wire/v1.txt pins them.

const (
	helloMagic  = "TICKRAFT"
	answerMagic = "RAFTTICK"
	version     = 1
	prefix      = 16
	maxBody     = 1024

	kindMessages = 1
	kindSnapshot = 2
	kindProbe    = 3

	// Refusals, by their codes.
	refusedVersion       = 1
	refusedWrongCluster  = 2
	refusedWrongTo       = 3
	refusedUnknownSender = 5
	refusedMalformed     = 10
	refusedFailed        = 11

	maxFrame = 64 << 20
	header   = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

type session struct{ count, random uint64 }

// hello is what a dialler says first.
type hello struct {
	low, high                      uint16
	kind                           byte
	cluster, from, to, incarnation uint64
	session                        session
	address                        string
}

func (h hello) encode() []byte {
	p := []byte(helloMagic)
	p = le.AppendUint16(p, h.low)
	p = le.AppendUint16(p, h.high)
	p = append(p, h.kind, 0, 0, 0)
	for _, n := range []uint64{h.cluster, h.from, h.to, h.incarnation, h.session.count, h.session.random} {
		p = le.AppendUint64(p, n)
	}
	p = le.AppendUint16(p, uint16(len(h.address)))
	return seal(append(p, h.address...))
}

func readHello(r io.Reader) (hello, error) {
	f, err := readPacket(r, helloMagic)
	if err != nil {
		return hello{}, err
	}
	h := hello{low: f.u16(), high: f.u16(), kind: f.u8()}
	f.take(3)
	h.cluster, h.from, h.to, h.incarnation = f.u64(), f.u64(), f.u64(), f.u64()
	h.session = session{f.u64(), f.u64()}
	h.address = string(f.take(int(f.u16())))
	return h, f.err
}

// answer is what the other side says to a hello. Refused where code is not 0.
type answer struct {
	low, high, version uint16
	id, incarnation    uint64
	session            session
	maxFrame           uint32
	readTimeoutMs      uint32
	code               byte
	text               string
	// cluster is 0 where the other side does not tell it.
	cluster uint64
}

func (a answer) encode() []byte {
	p := []byte(answerMagic)
	for _, n := range []uint16{a.low, a.high, a.version, 0} {
		p = le.AppendUint16(p, n)
	}
	for _, n := range []uint64{a.id, a.incarnation, a.session.count, a.session.random} {
		p = le.AppendUint64(p, n)
	}
	p = le.AppendUint32(p, a.maxFrame)
	p = le.AppendUint32(p, a.readTimeoutMs)
	p = append(p, a.code, 0)
	p = le.AppendUint16(p, uint16(len(a.text)))
	return seal(le.AppendUint64(append(p, a.text...), a.cluster))
}

func readAnswer(r io.Reader) (answer, error) {
	f, err := readPacket(r, answerMagic)
	if err != nil {
		return answer{}, err
	}
	a := answer{low: f.u16(), high: f.u16(), version: f.u16()}
	f.take(2)
	a.id, a.incarnation = f.u64(), f.u64()
	a.session = session{f.u64(), f.u64()}
	a.maxFrame, a.readTimeoutMs, a.code = f.u32(), f.u32(), f.u8()
	f.take(1)
	a.text = string(f.take(int(f.u16())))
	if len(f.rest) > 0 {
		a.cluster = f.u64()
	}
	return a, f.err
}

// seal fills in the length and adds the checksum.
func seal(p []byte) []byte {
	le.PutUint16(p[prefix-2:], uint16(len(p)-prefix))
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

// readPacket returns a packet's fields, from the versions on.
func readPacket(r io.Reader, magic string) (*fields, error) {
	p := make([]byte, prefix, prefix+maxBody+4)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	if string(p[:8]) != magic {
		return nil, errors.New("the first bytes are not this protocol's")
	}
	body := int(le.Uint16(p[prefix-2:]))
	if body > maxBody {
		return nil, errors.New("the handshake is too long")
	}
	p = p[:prefix+body+4]
	if _, err := io.ReadFull(r, p[prefix:]); err != nil {
		return nil, err
	}
	end := len(p) - 4
	if le.Uint32(p[end:]) != crc32.Checksum(p[:end], castagnoli) {
		return nil, errors.New("the handshake's checksum does not fit")
	}
	// The length sits between fields that are read and those that follow.
	return &fields{rest: p[8:end]}, nil
}

// fields takes fields from the front; the first error stays.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.err, f.rest = errors.New("the handshake is too short"), nil
		return make([]byte, n)
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) u8() byte    { return f.take(1)[0] }
func (f *fields) u16() uint16 { return le.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return le.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return le.Uint64(f.take(8)) }

// appendFrame appends a frame with the payload; an empty one is a ping, a pong, or a snapshot's end.
func appendFrame(out, payload []byte) []byte {
	out = le.AppendUint32(out, uint32(len(payload)))
	out = le.AppendUint32(out, crc32.Checksum(payload, castagnoli))
	return append(out, payload...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var h [header]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := le.Uint32(h[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is too long", n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	if le.Uint32(h[4:]) != crc32.Checksum(payload, castagnoli) {
		return nil, errors.New("a frame's checksum does not fit")
	}
	return payload, nil
}

// verdict is a payload: success where code is 0.
func verdict(code byte, text string) []byte { return append([]byte{code}, text...) }

func readVerdict(payload []byte) error {
	switch {
	case len(payload) == 0:
		return errors.New("an empty verdict")
	case payload[0] != 0:
		return fmt.Errorf("refused with code %d: %s", payload[0], payload[1:])
	}
	return nil
}
