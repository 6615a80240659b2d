package container

import (
	"encoding/json"
	"testing"
	"time"
)

var allStates = []State{Created, Starting, Running, Paused, Stopping, Exited, Restarting, Removing, Dead}

// TestStatesGrow: (Run, State) only grows, except that what was paused runs
// again.
func TestStatesGrow(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, from := range allStates {
		for _, to := range allStates {
			before := Record{ID: "x", State: from, Run: 3}
			after, err := before.advance(to, now, nil)
			if err != nil {
				if after.State != from || after.Run != 3 {
					t.Errorf("%s → %s: refused, but the record changed", from, to)
				}
				continue
			}
			grows := after.Run > before.Run || after.Run == before.Run && after.State > before.State
			back := from == Paused && to == Running || from == Restarting && to == Exited || from == Dead && to == Removing
			if !grows && !back {
				t.Errorf("%s → %s goes back", from, to)
			}
		}
	}
}

func TestAdvance(t *testing.T) {
	now := time.Unix(1700000000, 0)
	r := Record{ID: "x", State: Created}
	step := func(to State, out *Outcome) {
		t.Helper()
		next, err := r.advance(to, now, out)
		if err != nil {
			t.Fatal(err)
		}
		r = next
	}
	step(Starting, nil)
	step(Running, nil)
	if r.Run != 1 || !r.StartedAt.Equal(now) || !r.FinishedAt.IsZero() {
		t.Errorf("running: %+v", r)
	}
	step(Stopping, nil)
	step(Exited, &Outcome{ExitCode: 7, OOMKilled: true, At: now.Add(time.Second), Error: "why"})
	if r.ExitCode != 7 || !r.OOMKilled || r.FinishedAt.Sub(now) != time.Second || r.Error != "why" {
		t.Errorf("exited: %+v", r)
	}
	step(Restarting, nil)
	step(Starting, nil)
	if r.Run != 2 || r.OOMKilled || r.Error != "" {
		t.Errorf("second start: %+v", r)
	}
	r.OOMKilled = true // a kill that was told while it ran stays, whatever is read at the end
	step(Exited, &Outcome{ExitCode: 127})
	if !r.OOMKilled {
		t.Errorf("second end: %+v", r)
	}
	step(Removing, nil)
	if r.Desired != WantRemoved {
		t.Errorf("removing: %+v", r)
	}
	step(Dead, &Outcome{Error: "busy"})
	step(Removing, nil)
	if _, err := r.advance(Starting, now, nil); err == nil {
		t.Error("what is being removed was started")
	}
}

func TestStateNames(t *testing.T) {
	for _, s := range allStates {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Errorf("%s: %v, %v", b, back, err)
		}
		if s.docker() == "" {
			t.Errorf("%s has no name in the API", s)
		}
	}
	var s State
	if err := json.Unmarshal([]byte(`"flying"`), &s); err == nil {
		t.Error("an unknown state was read")
	}
}
