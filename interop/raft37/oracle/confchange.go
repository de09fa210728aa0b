package main

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// membership is what a script about configuration changes works on.
type membership struct{ changer confchange.Changer }

func newMembership() *membership {
	return &membership{confchange.Changer{Tracker: tracker.MakeProgressTracker(10, 0)}}
}

// handle runs one command and prints the configuration that it leads to, or why it does not.
func (m *membership) handle(t *testing.T, d *datadriven.TestData) string {
	// New members show when they came.
	defer func() { m.changer.LastIndex++ }()
	ccs, err := pb.ConfChangesFromString(d.Input)
	if err != nil {
		return err.Error()
	}
	var cfg tracker.Config
	var progress tracker.ProgressMap
	switch d.Cmd {
	case "simple":
		cfg, progress, err = m.changer.Simple(ccs...)
	case "enter-joint":
		autoLeave := false
		if len(d.CmdArgs) > 0 {
			d.ScanArgs(t, "autoleave", &autoLeave)
		}
		cfg, progress, err = m.changer.EnterJoint(autoLeave, ccs...)
	case "leave-joint":
		cfg, progress, err = m.changer.LeaveJoint()
	case "restore":
		fresh := confchange.Changer{Tracker: tracker.MakeProgressTracker(10, 0), LastIndex: m.changer.LastIndex}
		cfg, progress, err = confchange.Restore(fresh, confState(t, d))
	default:
		return "unknown command"
	}
	if err != nil {
		return err.Error() + "\n"
	}
	m.changer.Tracker.Config, m.changer.Tracker.Progress = cfg, progress
	return fmt.Sprintf("%s\n%s", cfg, progress)
}

// restore voters=(1,2) learners=(3) outgoing=(1,4) learners-next=(4) autoleave=true
func confState(t *testing.T, d *datadriven.TestData) *pb.ConfState {
	cs := &pb.ConfState{AutoLeave: new(bool)}
	for _, arg := range d.CmdArgs {
		for i, val := range arg.Vals {
			switch arg.Key {
			case "voters":
				cs.Voters = append(cs.Voters, parseNumber(t, val))
			case "learners":
				cs.Learners = append(cs.Learners, parseNumber(t, val))
			case "outgoing":
				cs.VotersOutgoing = append(cs.VotersOutgoing, parseNumber(t, val))
			case "learners-next":
				cs.LearnersNext = append(cs.LearnersNext, parseNumber(t, val))
			case "autoleave":
				arg.Scan(t, i, cs.AutoLeave)
			}
		}
	}
	return cs
}
