package gopeer

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"
)

// golden reads the lines that tickraft's transport is held to.
func golden(t *testing.T) map[string][]byte {
	text, err := os.ReadFile("../../transport-tcp/tests/wire/v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		if name, data, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			if lines[name], err = hex.DecodeString(data); err != nil {
				t.Fatal(name, err)
			}
		}
	}
	return lines
}

func TestHandshakes(t *testing.T) {
	lines := golden(t)
	h := hello{
		low: 1, high: 1, kind: kindMessages, cluster: 0x1122334455667788, from: 1, to: 2, incarnation: 0xa1a2a3a4a5a6a7a8,
		session: session{5, 0xb1b2b3b4b5b6b7b8}, address: "node1:2380",
	}
	if got := h.encode(); !bytes.Equal(got, lines["hello-messages"]) {
		t.Errorf("hello\n%x\n%x", got, lines["hello-messages"])
	}
	if got, err := readHello(bytes.NewReader(lines["hello-messages"])); err != nil || got != h {
		t.Error(got, err)
	}
	a := answer{
		low: 1, high: 1, version: 1, id: 2, incarnation: 0xc1c2c3c4c5c6c7c8, session: session{9, 0xd1d2d3d4d5d6d7d8},
		maxFrame: 64 << 20, readTimeoutMs: 5000, cluster: 0x1122334455667788,
	}
	refused := a
	refused.version, refused.code, refused.text = 0, 7, "join under a new id"
	for name, want := range map[string]answer{"answer-accepted": a, "answer-refused": refused} {
		if got := want.encode(); !bytes.Equal(got, lines[name]) {
			t.Errorf("%s\n%x\n%x", name, got, lines[name])
		}
		if got, err := readAnswer(bytes.NewReader(lines[name])); err != nil || got != want {
			t.Error(name, got, err)
		}
	}
	a.cluster = 0
	if got, err := readAnswer(bytes.NewReader(lines["answer-short"])); err != nil || got != a {
		t.Error(got, err)
	}
}

func TestFrames(t *testing.T) {
	lines := golden(t)
	for _, name := range []string{"frame-app", "snapshot-head", "snapshot-data", "snapshot-body", "frame-empty", "verdict-ok", "verdict-failed"} {
		payload, err := readFrame(bytes.NewReader(lines[name]))
		if err != nil {
			t.Fatal(name, err)
		}
		if got := appendFrame(nil, payload); !bytes.Equal(got, lines[name]) {
			t.Errorf("%s\n%x\n%x", name, got, lines[name])
		}
	}
	ok, _ := readFrame(bytes.NewReader(lines["verdict-ok"]))
	if err := readVerdict(ok); err != nil || !bytes.Equal(ok, verdict(0, "")) {
		t.Error(err, ok)
	}
	failed, _ := readFrame(bytes.NewReader(lines["verdict-failed"]))
	if err := readVerdict(failed); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Error(err)
	}
}

func TestBrokenBytesAreRefused(t *testing.T) {
	lines := golden(t)
	for _, name := range []string{"hello-messages", "frame-app"} {
		for i := range lines[name] {
			bad := bytes.Clone(lines[name])
			bad[i] ^= 1
			var err error
			if name == "frame-app" {
				_, err = readFrame(bytes.NewReader(bad))
			} else {
				_, err = readHello(bytes.NewReader(bad))
			}
			if err == nil {
				t.Errorf("%s: byte %d", name, i)
			}
		}
	}
}

func TestStateTravels(t *testing.T) {
	a := newState()
	for _, c := range []string{"set x 1", "set y 22", "nonsense", "set x 3", ""} {
		a.apply([]byte(c))
	}
	b := newState()
	if err := b.decode(a.encode()); err != nil || !reflect.DeepEqual(a, b) {
		t.Error(err, a, b)
	}
	if err := newState().decode([]byte("x")); err == nil {
		t.Error("nonsense is taken")
	}
}
