package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/test/hubload"
	"github.com/berth-engine/berth/test/measured"
)

const (
	loadClients = 200
	loadRounds  = 3
	loadLayer   = 64 << 10
	loadKills   = 2
	// killAfter is how many pushes of a life are acknowledged when the Hub is
	// killed, with most of its clients in the middle of one.
	killAfter = 150
)

// loadFile is what was measured, for the page.
type loadFile struct {
	measured.About
	Clients int       `json:"clients"`
	Layer   int       `json:"layer_bytes"`
	Push    []float64 `json:"push_ms"`
	Pull    []float64 `json:"pull_ms"`
	Seconds float64   `json:"seconds"`
	Kills   int       `json:"kills"`
	// Acknowledged pushes of the lives that ended in a kill, of which so many
	// could be read afterwards.
	Acknowledged int `json:"acknowledged"`
	Readable     int `json:"readable"`
}

func (f loadFile) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d clients, %d pushes and %d pulls of %d bytes in %.1f s: 0 errors\n", f.Clients, len(f.Push), len(f.Pull), f.Layer, f.Seconds)
	for _, x := range []struct {
		what string
		ms   []float64
	}{{"push", f.Push}, {"pull", f.Pull}} {
		fmt.Fprintf(&b, "%s: %.1f/s, median %.0f ms, p90 %.0f ms, p99 %.0f ms, longest %.0f ms\n", x.what, float64(len(x.ms))/f.Seconds,
			measured.Within(x.ms, 0.5), measured.Within(x.ms, 0.9), measured.Within(x.ms, 0.99), measured.Within(x.ms, 1))
	}
	fmt.Fprintf(&b, "killed %d times meanwhile: %d of %d acknowledged pushes were read after the next start\n", f.Kills, f.Readable, f.Acknowledged)
	return b.String()
}

// hubLoad has many clients push to the Hub and pull at the same time, and kills
// it (SIGKILL) in the middle: what it acknowledged must be there afterwards.
func hubLoad(ctx context.Context, s *stage) error {
	f := loadFile{About: measured.Here("make demo-load DEMOARGS=-plot"), Clients: loadClients, Layer: loadLayer, Kills: loadKills}
	o := hubload.Options{URL: "http://" + s.hubAddr, Repository: "load/calm", Workers: loadClients, Rounds: loadRounds, Layer: loadLayer}
	s.heading(fmt.Sprintf("%d clients, each with %d pushes and pulls", loadClients, loadRounds))
	r := hubload.Run(ctx, o)
	if len(r.Errors) > 0 {
		return fmt.Errorf("%d of %d requests failed, the first: %w", len(r.Errors), r.Pushes+r.Pulls+len(r.Errors), r.Errors[0])
	}
	f.Push, f.Pull, f.Seconds = measured.Milliseconds(r.Push), measured.Milliseconds(r.Pull), r.Took.Seconds()
	var all []hubload.Push
	for n := range loadKills {
		s.heading(fmt.Sprintf("Killed in the middle, time %d", n+1))
		pushes, err := s.killedLoad(ctx, o, n)
		if err != nil {
			return err
		}
		all = append(all, pushes...)
		errs := hubload.Verify(ctx, hubload.Options{URL: "http://" + s.hubAddr, Workers: loadClients}, all)
		f.Acknowledged, f.Readable = len(all), len(all)-len(errs)
		fmt.Fprintf(s.out, "%d pushes were acknowledged so far; %d are there after the restart\n", f.Acknowledged, f.Readable)
		if len(errs) > 0 {
			return errs[0]
		}
	}
	s.heading("What it made")
	fmt.Fprint(s.out, f.text())
	return s.keep("load", f)
}

// killedLoad kills the Hub under load, and starts it again on the same data. It
// returns what was acknowledged.
func (s *stage) killedLoad(ctx context.Context, o hubload.Options, n int) (acknowledged []hubload.Push, err error) {
	var mu sync.Mutex
	o.URL, o.Repository, o.Rounds = "http://"+s.hubAddr, fmt.Sprintf("load/killed%d", n), 1000
	o.Pushed = func(p hubload.Push) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged = append(acknowledged, p)
		if len(acknowledged) == killAfter {
			err = s.hub.cmd.Process.Signal(syscall.SIGKILL)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	hubload.Run(ctx, o)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the Hub was not killed: %w", err)
	}
	<-s.hub.done
	if len(acknowledged) < killAfter {
		return nil, errors.New("the Hub ended by itself: see " + filepath.Base(s.hub.log))
	}
	return acknowledged, s.startHub()
}
