// Oracle runs scripts through etcd-io/raft's own code and prints them with the outputs that etcd gives: interaction scripts through its rafttest, the
// scripts about quorums and configuration changes through its packages quorum and confchange.
//
//	oracle OUTDIR SCRIPT...
//
// writes each script under its base name to OUTDIR. A script on which etcd panics, or whose command never ends, is cut before that command; what etcd did
// until then can still be compared. A line on standard output says so:
//
//	panicked SCRIPT: REASON
//	endless SCRIPT
//	wrong SCRIPT
//
// The last one is for a script that asks for something that there is not; its output is worth nothing.
//
// Built with `-tags with_tla` it also writes what etcd traces of each interaction script, as NDJSON beside it: see trace.go.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// handler runs one command and returns what it prints.
type handler func(t *testing.T, d *datadriven.TestData) string

// handlerFor gives the handler for the kind of script that the command belongs to.
func handlerFor(cmd string, trace *trace) handler {
	switch cmd {
	case "committed", "vote":
		return handleQuorum
	case "simple", "enter-joint", "leave-joint", "restore":
		return newMembership().handle
	}
	return newGroup(trace).handle
}

// scriptTest rewrites the script at path in place.
func scriptTest(path string) testing.InternalTest {
	name := filepath.Base(path)
	return testing.InternalTest{Name: name, F: func(t *testing.T) {
		defer func() {
			if t.Failed() {
				fmt.Printf("wrong %s\n", name)
			}
		}()
		trace := newTrace(path)
		defer trace.close(t)
		var handle handler
		dead, command := false, 0
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) (out string) {
			if dead {
				return "not run\n"
			}
			if handle == nil {
				handle = handlerFor(d.Cmd, trace)
			}
			defer func() {
				if p := recover(); p != nil {
					dead = true
					trace.cut()
					out = died
					if p == errEndless {
						fmt.Printf("endless %s\n", name)
					} else {
						fmt.Printf("panicked %s: %v\n", name, p)
					}
				}
			}()
			command++
			begin(name, command)
			return handle(t, d)
		})
		if dead {
			cut(t, path)
		}
	}}
}

// died is the output of the command that etcd died of; no command prints it.
const died = "etcd died here\n"

// cut removes the command that etcd died of and all after it.
func cut(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "----\n"+died)
	if !found {
		t.Fatalf("%s: cannot find where etcd died", path)
	}
	// Nothing is left of a script whose first command it was.
	command := max(0, strings.LastIndex(before, "\n\n")+1)
	if err := os.WriteFile(path, []byte(before[:command]), 0o644); err != nil {
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
	go watch(append([]string{outdir}, scripts...))
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
