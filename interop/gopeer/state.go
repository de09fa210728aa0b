package gopeer

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// state is the state machine: a map, and a checksum over all commands in their order. What makes it up is the same on every node, whoever wrote the program.
type state struct {
	values map[string]string
	// chain is the CRC-32C of all commands applied, each followed by a line feed.
	chain   uint32
	applied uint64
}

func newState() *state { return &state{values: map[string]string{}} }

// apply takes a command: "set KEY VALUE". Others change nothing but the chain.
func (s *state) apply(command []byte) {
	if len(command) == 0 {
		return // a new leader's entry
	}
	s.chain = crc32.Update(s.chain, castagnoli, append(slices.Clone(command), '\n'))
	s.applied++
	if f := strings.Fields(string(command)); len(f) == 3 && f[0] == "set" {
		s.values[f[1]] = f[2]
	}
}

// encode writes "CHAIN APPLIED", then "KEY VALUE", a line each, in the order of the keys.
func (s *state) encode() []byte {
	out := fmt.Appendf(nil, "%08x %d\n", s.chain, s.applied)
	keys := make([]string, 0, len(s.values))
	for key := range s.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		out = fmt.Appendf(out, "%s %s\n", key, s.values[key])
	}
	return out
}

func (s *state) decode(data []byte) error {
	fresh := newState()
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if i == 0 {
			if n, err := fmt.Sscanf(line, "%x %d", &fresh.chain, &fresh.applied); n != 2 {
				return fmt.Errorf("not a state: %v", err)
			}
			continue
		}
		key, value, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("not a state: line %d", i+1)
		}
		fresh.values[key] = value
	}
	*s = *fresh
	return nil
}

// sum tells two states apart.
func (s *state) sum() string {
	return fmt.Sprintf("keys=%d applied=%d sum=%08x", len(s.values), s.applied, crc32.Checksum(s.encode(), castagnoli))
}
