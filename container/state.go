package container

import (
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// State is the one ordered state of a container. Together with Record.Run,
// the number of starts, it only grows: (Run, State) is a logical clock. The
// one exception is Paused, which returns to Running. Gaps are left for states
// to come.
type State uint8

// The states, in order.
const (
	// Created: complete on disk, never started.
	Created State = 10
	// Starting: resources are being acquired; found by Restore, it means that
	// the daemon died in the middle of a start.
	Starting State = 20
	// Running: process 1 was started.
	Running State = 30
	// Paused: process 1 was started and its cgroup is frozen.
	Paused State = 35
	// Stopping: as Running, and a stop was asked for.
	Stopping State = 40
	// Exited: nothing runs, ExitCode is known.
	Exited State = 50
	// Restarting: as Exited, and the restart policy will start it again after
	// its pause.
	Restarting State = 55
	// Removing: being removed; there is no way back.
	Removing State = 60
	// Dead: a removal failed half way; it may be tried again.
	Dead State = 70
)

// next is the whole table of moves.
var next = map[State][]State{
	Created:    {Starting, Removing},
	Starting:   {Running, Exited},
	Running:    {Paused, Stopping, Exited},
	Paused:     {Running, Stopping, Exited},
	Stopping:   {Exited},
	Exited:     {Starting, Restarting, Removing},
	Restarting: {Starting, Exited, Removing},
	Removing:   {Dead},
	Dead:       {Removing},
}

var stateNames = map[State]string{
	Created: "created", Starting: "starting", Running: "running", Paused: "paused", Stopping: "stopping",
	Exited: "exited", Restarting: "restarting", Removing: "removing", Dead: "dead",
}

// String returns the name that stands in the record.
func (s State) String() string {
	if n, ok := stateNames[s]; ok {
		return n
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the name of the state.
func (s State) MarshalText() ([]byte, error) {
	if _, ok := stateNames[s]; !ok {
		return nil, fmt.Errorf("unknown state %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the name of a state.
func (s *State) UnmarshalText(b []byte) error {
	for state, name := range stateNames {
		if name == string(b) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", b)
}

// live reports whether process 1 exists.
func (s State) live() bool { return s == Running || s == Paused || s == Stopping }

// shown is the state as the API names it. A container whose program never ran
// counts as created, whatever was tried.
func (r *Record) shown() container.ContainerState {
	if r.State == Exited && r.StartedAt.IsZero() {
		return container.StateCreated
	}
	return r.State.docker()
}

// docker is the state as the API names it.
func (s State) docker() container.ContainerState {
	switch s {
	case Created, Starting:
		return container.StateCreated
	case Running, Stopping:
		return container.StateRunning
	case Paused:
		return container.StatePaused
	case Exited:
		return container.StateExited
	case Restarting:
		return container.StateRestarting
	case Removing:
		return container.StateRemoving
	case Dead:
		return container.StateDead
	}
	return container.ContainerState(s.String())
}

// Desired is what the user asked for last. Restart policies read it.
type Desired string

// What a user may want of a container.
const (
	WantStopped Desired = "stopped"
	WantRunning Desired = "running"
	WantRemoved Desired = "removed"
	WantPurged  Desired = "purged" // removed with its anonymous volumes
)

// Outcome is how a run ended, for moves to Exited and Restarting.
type Outcome struct {
	ExitCode  int
	OOMKilled bool
	At        time.Time // zero: now
	Error     string    // why a start failed or the exit code is not the program's
}

// advance is the only function that changes the state of a record. It returns
// the record after the move; the caller saves it, then announces it.
func (r Record) advance(to State, now time.Time, out *Outcome) (Record, error) {
	if !slices.Contains(next[r.State], to) {
		return r, fmt.Errorf("container %s cannot go from %s to %s: %w", r.ID, r.State, to, errdefs.ErrFailedPrecondition)
	}
	from := r.State
	r.State = to
	switch to {
	case Starting:
		r.Run++
		r.Pid, r.Error, r.OOMKilled = 0, "", false
	case Running:
		if from == Starting {
			r.StartedAt, r.FinishedAt, r.ExitCode = now, time.Time{}, 0
		}
	case Exited:
		r.Pid = 0
		if out != nil {
			r.ExitCode, r.Error = out.ExitCode, out.Error
			r.OOMKilled = r.OOMKilled || out.OOMKilled // systemd may have removed the group before the monitor looked
			if r.FinishedAt = out.At; out.At.IsZero() {
				r.FinishedAt = now
			}
		}
	case Removing:
		if r.Desired != WantPurged {
			r.Desired = WantRemoved
		}
	case Dead:
		if out != nil {
			r.Error = out.Error
		}
	case Created, Paused, Stopping, Restarting:
	}
	return r, nil
}
