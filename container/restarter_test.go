package container

import (
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestNextPause(t *testing.T) {
	var pause time.Duration
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}
	for i, ms := range want {
		if pause = nextPause(pause, time.Second); pause != ms*time.Millisecond {
			t.Fatalf("pause %d is %v", i, pause)
		}
	}
	if pause = nextPause(pause, 10*time.Second); pause != 100*time.Millisecond {
		t.Errorf("after a good run: %v", pause)
	}
}

func TestWantsRestart(t *testing.T) {
	s := &Service{}
	for _, c := range []struct {
		policy  container.RestartPolicyMode
		max     int
		desired Desired
		code    int
		count   int
		want    bool
	}{
		{container.RestartPolicyDisabled, 0, WantRunning, 1, 0, false},
		{"", 0, WantRunning, 1, 0, false},
		{container.RestartPolicyAlways, 0, WantRunning, 0, 9, true},
		{container.RestartPolicyAlways, 0, WantStopped, 0, 0, false},
		{container.RestartPolicyUnlessStopped, 0, WantRunning, 0, 0, true},
		{container.RestartPolicyUnlessStopped, 0, WantStopped, 1, 0, false},
		{container.RestartPolicyOnFailure, 0, WantRunning, 0, 0, false},
		{container.RestartPolicyOnFailure, 0, WantRunning, 1, 99, true},
		{container.RestartPolicyOnFailure, 3, WantRunning, 1, 2, true},
		{container.RestartPolicyOnFailure, 3, WantRunning, 1, 3, false},
		{container.RestartPolicyOnFailure, 3, WantStopped, 1, 0, false},
	} {
		r := &Record{Desired: c.desired, ExitCode: c.code, RestartCount: c.count, HostConfig: &container.HostConfig{
			RestartPolicy: container.RestartPolicy{Name: c.policy, MaximumRetryCount: c.max},
		}}
		if got := s.wantsRestart(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestBackOff lets the restarter's own clock run: it asks for the pauses of
// the policy, one after the other.
func TestBackOff(t *testing.T) {
	e := newEngine(t)
	asked := make(chan time.Duration, 16)
	fire := make(chan time.Time)
	e.clock.after = func(d time.Duration) <-chan time.Time {
		asked <- d
		return fire
	}
	r := request("exit", "1")
	r.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
	id := e.create(r)
	e.start(id)
	for _, ms := range []time.Duration{100, 200, 400} {
		if d := <-asked; d != ms*time.Millisecond {
			t.Fatalf("pause %v, want %v", d, ms*time.Millisecond)
		}
		if st := e.inspect(id).State; st.Status != container.StateRestarting || st.ExitCode != 1 {
			t.Fatalf("state %+v", st)
		}
		fire <- time.Time{}
	}
	<-asked
	if err := e.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if st := e.inspect(id); st.State.Status != container.StateExited || st.RestartCount != 4 {
		t.Errorf("after stop: %+v, %d restarts", st.State, st.RestartCount)
	}
}
