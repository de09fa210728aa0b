package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// golden is the odd constant of splitmix64; also the checksum's multiplier.
const golden = 0x9E3779B97F4A7C15

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
	x = (x ^ (x >> 27)) * 0x94D049BB133111EB
	return x ^ (x >> 31)
}

// payload makes payload number seq: the same bytes as in every driver (benches/peers/common).
func payload(seq uint64, size int) []byte {
	data := make([]byte, size)
	binary.LittleEndian.PutUint64(data, seq)
	state := seq
	var word [8]byte
	for at := 8; at < size-8; at += 8 {
		state += golden
		binary.LittleEndian.PutUint64(word[:], mix(state))
		copy(data[at:size-8], word[:])
	}
	binary.LittleEndian.PutUint64(data[size-8:], mix(seq))
	return data
}

func payloads(from, to, size int) [][]byte {
	all := make([][]byte, 0, to-from)
	for seq := from; seq < to; seq++ {
		all = append(all, payload(uint64(seq), size))
	}
	return all
}

func fold(sum, first, last, length uint64) uint64 {
	return bits.RotateLeft64((sum^first)*golden, 29) + (last ^ length)
}

// expected is the checksum of the payloads 0 to count-1 applied in this order.
func expected(count, size int) uint64 {
	var sum uint64
	for seq := range uint64(count) {
		sum = fold(sum, seq, mix(seq), uint64(size))
	}
	return sum
}

// applied is the state machine of a node: it counts and checks what is applied.
type applied struct {
	count, size int
	sum         uint64
	// whole compares every byte; off while the clock runs.
	whole bool
}

func (a *applied) apply(data []byte) {
	if len(data) != a.size {
		panic(fmt.Sprintf("payload %d has another length", a.count))
	}
	if a.whole && !bytes.Equal(data, payload(uint64(a.count), a.size)) {
		panic(fmt.Sprintf("payload %d differs", a.count))
	}
	a.sum = fold(a.sum, binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[a.size-8:]), uint64(a.size))
	a.count++
}

// check panics unless exactly the payloads 0 to count-1 were applied in order.
func (a *applied) check(count int, node uint64) {
	if a.count != count {
		panic(fmt.Sprintf("node %d applied %d payloads, not %d", node, a.count, count))
	}
	if a.sum != expected(count, a.size) {
		panic(fmt.Sprintf("node %d applied other contents", node))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// clock is wall time, and the processor time of the whole process, which other load on the machine disturbs less.
type clock struct {
	wall time.Time
	cpu  float64
}

func startClock() clock { return clock{time.Now(), cpuSeconds()} }

// rate stops the clock that count things took.
func (c clock) rate(count int) []field {
	seconds := time.Since(c.wall).Seconds()
	cpu := cpuSeconds() - c.cpu
	return []field{{"seconds", seconds}, {"per_second", float64(count) / seconds}, {"cpu_seconds", cpu}}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// percentiles of samples in nanoseconds, which it sorts.
func percentiles(samples []int64) []field {
	slices.Sort(samples)
	at := func(q float64) float64 {
		if len(samples) == 0 {
			return 0
		}
		return float64(samples[min(int(q*float64(len(samples))), len(samples)-1)]) / 1000
	}
	return []field{{"p50_us", at(0.5)}, {"p99_us", at(0.99)}, {"p999_us", at(0.999)}, {"max_us", at(1)}}
}

// nanosPerCall is the median over rounds of about 50 ms each.
func nanosPerCall(call func()) float64 {
	round := func(calls int) float64 {
		start := time.Now()
		for range calls {
			call()
		}
		return float64(time.Since(start).Nanoseconds())
	}
	calls := 1
	for round(calls) < 50e6 {
		calls *= 2
	}
	rounds := make([]float64, 11)
	for i := range rounds {
		rounds[i] = round(calls) / float64(calls)
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2]
}

// resident is this process's resident memory in bytes after garbage is gone; 0 where /proc does not tell.
func resident() float64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			return kib * 1024
		}
	}
	return 0
}

// field is one member of the report; the order is kept.
type field struct {
	name  string
	value any
}

type object []field

func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%q:%s", f.name, value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// head is the report's head: who is measured by which bench with which arguments.
func head(bench string, arguments ...field) []field {
	return append([]field{{"peer", "etcd-io/raft"}, {"version", version()}, {"bench", bench}}, arguments...)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "go.etcd.io/raft/v3" {
				return strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "unknown"
}

func report(line, figures, settings []field) {
	out, err := json.Marshal(append(object(append(line, figures...)), field{"settings", object(settings)}))
	must(err)
	fmt.Println(string(out))
}

// unsupported says that this driver does not measure the bench. This is an answer, not a failure.
func unsupported(line []field, reason string) {
	out, err := json.Marshal(append(object(line), field{"unsupported", reason}))
	must(err)
	fmt.Println(string(out))
}

func environment() []field {
	collector := os.Getenv("GOGC")
	if collector == "" {
		collector = "100"
	}
	return []field{{"go", runtime.Version()}, {"gomaxprocs", runtime.GOMAXPROCS(0)}, {"gogc", collector}}
}
