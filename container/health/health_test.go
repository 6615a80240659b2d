package health

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestMergeAndDefaults(t *testing.T) {
	image := &container.HealthConfig{Test: []string{"CMD", "a"}, Interval: time.Minute, Retries: 7}
	got := Merge(&container.HealthConfig{Timeout: time.Second}, image)
	if got.Test[1] != "a" || got.Interval != time.Minute || got.Timeout != time.Second || got.Retries != 7 {
		t.Errorf("%+v", got)
	}
	if Wanted(Merge(&container.HealthConfig{Test: []string{"NONE"}}, image)) || !Wanted(Merge(nil, image)) || Wanted(Merge(nil, nil)) {
		t.Error("who wants what?")
	}
	if c := NewCheck(&container.HealthConfig{}); c != (Check{30 * time.Second, 30 * time.Second, 0, 5 * time.Second, 3}) {
		t.Errorf("%+v", c)
	}
}

func TestCommand(t *testing.T) {
	for _, tc := range []struct {
		test, shell []string
		want        string
	}{
		{[]string{"CMD", "a", "b c"}, nil, "a|b c"},
		{[]string{"CMD-SHELL", "a b"}, nil, "/bin/sh|-c|a b"},
		{[]string{"CMD-SHELL", "a b"}, []string{"/bin/bash", "-ec"}, "/bin/bash|-ec|a b"},
	} {
		got, err := Command(&container.HealthConfig{Test: tc.test}, tc.shell)
		if err != nil || strings.Join(got, "|") != tc.want {
			t.Errorf("%v: %v, %v", tc.test, got, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, c := range map[string]*container.HealthConfig{
		"Interval in Healthcheck cannot be less than 1ms":    {Interval: 1},
		"StartPeriod in Healthcheck cannot be less than 1ms": {StartPeriod: -time.Second},
		"Retries in Healthcheck cannot be negative":          {Retries: -1},
		"unknown probe type 'x' in healthcheck":              {Test: []string{"x"}},
		"healthcheck CMD without a command":                  {Test: []string{"CMD"}},
	} {
		if err := Validate(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []*container.HealthConfig{nil, {}, {Test: []string{"NONE"}}, {Test: []string{"CMD", "x"}, Interval: time.Millisecond}} {
		if err := Validate(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// story runs a monitor over scripted answers, one a probe, and notes when
// something changed, in seconds after the start.
func story(t *testing.T, c Check, answers string) (changes []string, m *Monitor) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		m = NewMonitor(c, start)
		n := 0
		m.Run(ctx, func(ctx context.Context) (int, string, error) {
			if n++; n > len(answers) {
				cancel()
				return 0, "", ctx.Err()
			}
			switch answers[n-1] {
			case '+':
				return 0, "fine", nil
			case '-':
				return 1, "bad", nil
			case 'e':
				return 0, "", errors.New("cannot ask")
			default: // it hangs
				<-ctx.Done()
				return 0, "half", ctx.Err()
			}
		}, func(s container.HealthStatus) {
			changes = append(changes, time.Since(start).String()+" "+string(s))
		})
	})
	return changes, m
}

func TestMonitor(t *testing.T) {
	c := Check{Interval: 10 * time.Second, Timeout: 2 * time.Second, StartInterval: time.Second, Retries: 2}
	withStart := c
	withStart.StartPeriod = 15 * time.Second
	for _, tc := range []struct {
		check   Check
		answers string
		want    string
		streak  int
	}{
		{c, "+", "10s healthy", 0},
		{c, "--", "20s unhealthy", 2},
		{c, "-+--+", "20s healthy, 40s unhealthy, 50s healthy", 0},
		{c, "+-+-+", "10s healthy", 0},
		{c, "e.", "22s unhealthy", 2},
		{withStart, "---+", "4s healthy", 0},
		{withStart, "--------------", "", 0}, // 14 failures within the period
		{withStart, "+--", "1s healthy, 21s unhealthy", 2},
	} {
		changes, m := story(t, tc.check, tc.answers)
		if got := strings.Join(changes, ", "); got != tc.want || m.State().FailingStreak != tc.streak {
			t.Errorf("%s: %s (streak %d), want %s (%d)", tc.answers, got, m.State().FailingStreak, tc.want, tc.streak)
		}
	}
}

func TestAnswers(t *testing.T) {
	c := Check{Interval: 10 * time.Second, Timeout: 2 * time.Second, Retries: 9}
	_, m := story(t, c, "++-e.-+")
	var got []string
	for _, a := range m.State().Log {
		got = append(got, a.Output)
	}
	if want := []string{"bad", "cannot ask", "Health check exceeded timeout (2s): half", "bad", "fine"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	m.Stop()
	if m.Status() != container.Unhealthy {
		t.Error(m.Status())
	}
}
