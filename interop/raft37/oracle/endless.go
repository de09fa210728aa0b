package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A command that never ends cannot be stopped from within: it is noticed by what it prints, or by the time it takes, and the program starts again, now
// knowing which command not to run.

const (
	// maxHeap is what such a command soon has written; a script needs a thousandth of it.
	maxHeap = 1 << 30
	// maxTime is for one that prints nothing: the program's own time, so that a busy machine matters not.
	maxTime = 2 * time.Second
	// knownEndless is the environment variable with the commands not to run, as script:number.
	knownEndless = "ORACLE_ENDLESS"
)

// errEndless is what such a command panics with.
var errEndless = errors.New("the command does not end")

// running is the command that runs.
var running struct {
	sync.Mutex
	command string
	since   time.Duration
}

// cpuTime is how long the program has computed.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// begin notes that command number n of a script begins.
func begin(script string, n int) {
	command := fmt.Sprintf("%s:%d", script, n)
	for _, known := range strings.Fields(os.Getenv(knownEndless)) {
		if known == command {
			panic(errEndless)
		}
	}
	running.Lock()
	defer running.Unlock()
	running.command, running.since = command, cpuTime()
}

// watch starts the program again, with the same arguments, when a command does not end.
func watch(args []string) {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for range time.Tick(100 * time.Millisecond) {
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		running.Lock()
		command, endless := running.command, mem.HeapAlloc > maxHeap || cpuTime()-running.since > maxTime
		running.Unlock()
		if command == "" || !endless {
			continue
		}
		if err := os.Setenv(knownEndless, os.Getenv(knownEndless)+" "+command); err != nil {
			panic(err)
		}
		panic(syscall.Exec(exe, append([]string{exe}, args...), os.Environ()))
	}
}
