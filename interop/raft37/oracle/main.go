// Oracle runs interaction scripts through etcd-io/raft's own rafttest and prints them with the outputs that etcd gives.
//
//	oracle OUTDIR SCRIPT...
//
// writes each script under its base name to OUTDIR. A script on which etcd panics is cut before the command that it panics on, and a line
//
//	panicked SCRIPT: REASON
//
// says so; what etcd did until then can still be compared.
//
// Built with `-tags with_tla` it also writes what etcd traces of each script, as NDJSON beside it: see trace.go.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/rafttest"
)

// setRandomizedElectionTimeout reaches the field that etcd's own setter, which lives in its test files, sets.
func setRandomizedElectionTimeout(node *raft.RawNode, timeout int) {
	core := reflect.ValueOf(node).Elem().FieldByName("raft").Elem()
	field := core.FieldByName("randomizedElectionTimeout")
	*(*int)(unsafe.Pointer(field.UnsafeAddr())) = timeout
}

// scriptTest rewrites the script at path in place.
func scriptTest(path string) testing.InternalTest {
	return testing.InternalTest{Name: filepath.Base(path), F: func(t *testing.T) {
		trace := newTrace(path)
		defer trace.close(t)
		env := rafttest.NewInteractionEnv(&rafttest.InteractionOpts{
			OnConfig:                     trace.onConfig,
			SetRandomizedElectionTimeout: setRandomizedElectionTimeout,
		})
		dead := false
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) (out string) {
			if dead {
				return "not run\n"
			}
			defer func() {
				if p := recover(); p != nil {
					dead = true
					trace.cut()
					out = panicked
					fmt.Printf("panicked %s: %v\n", filepath.Base(path), p)
				}
			}()
			trace.begin(env, d)
			return singleBlanks(env.Handle(t, *d))
		})
		if dead {
			cut(t, path)
		}
	}}
}

// singleBlanks makes the one line that prints a protobuf message with %v the same in every build: the protobuf library puts one or two blanks between
// fields, by a hash of the program it is linked into, so that nobody compares its text.
func singleBlanks(out string) string {
	if !strings.Contains(out, "not in the ConfState") {
		return out
	}
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if strings.Contains(line, "attempted to restore snapshot but it is not in the ConfState ") {
			for _, field := range []string{"voters:", "learners:", "voters_outgoing:", "learners_next:", "auto_leave:"} {
				lines[i] = strings.ReplaceAll(lines[i], "  "+field, " "+field)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// panicked is the output of the command that etcd panicked on; no command prints it.
const panicked = "etcd panicked here\n"

// cut removes the command that etcd panicked on and all after it.
func cut(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "----\n"+panicked)
	command := strings.LastIndex(before, "\n\n")
	if !found || command < 0 {
		t.Fatalf("%s: cannot find where etcd panicked", path)
	}
	if err := os.WriteFile(path, []byte(before[:command+1]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: oracle OUTDIR SCRIPT...")
		os.Exit(2)
	}
	outdir, scripts := os.Args[1], os.Args[2:]
	// The testing package and datadriven read their settings from flags.
	os.Args = []string{os.Args[0], "-rewrite"}
	testing.Init()
	var tests []testing.InternalTest
	for _, script := range scripts {
		out := filepath.Join(outdir, filepath.Base(script))
		text, err := os.ReadFile(script)
		if err == nil {
			err = os.WriteFile(out, text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		tests = append(tests, scriptTest(out))
	}
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, tests, nil, nil) // exits
}
