package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/measured"
)

const rollingApp = `
name: app
services:
  web:
    image: busybox
    scale: 2
    command: ["sh", "-c", "mkdir /www; echo version $$VERSION >/www/index.html; exec httpd -f -p 80 -h /www"]
    stop_signal: KILL
    environment: {VERSION: "${VERSION}"}
    ports: ["127.0.0.1:${PORT}:80"]
    healthcheck: {test: wget -qO /dev/null http://127.0.0.1/, interval: 200ms}
`

// users ask for a page again and again, each time over a new connection.
type users struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu     sync.Mutex
	pages  map[string]int
	failed []error
}

func startUsers(t *testing.T, url string, n int) *users {
	ctx, cancel := context.WithCancel(t.Context())
	u := &users{stop: cancel, pages: map[string]int{}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range n {
		u.wait.Go(func() {
			for ctx.Err() == nil {
				page, err := get(client, url)
				u.mu.Lock()
				if err == nil {
					u.pages[page]++
				} else {
					u.failed = append(u.failed, err)
				}
				u.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); u.wait.Wait() })
	return u
}

// took is what they got since the last time.
func (u *users) took() (pages map[string]int, failed []error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pages, failed = u.pages, u.failed
	u.pages, u.failed = map[string]int{}, nil
	return pages, failed
}

// rollingSamples is what users met, for docs/compose.md (`bin/demo -render`).
type rollingSamples struct {
	measured.About
	Users   int             `json:"users"`
	Updates []rollingUpdate `json:"updates"`
}

type rollingUpdate struct {
	Answered int `json:"answered"`
	Failed   int `json:"failed"`
}

func (s *rollingSamples) add(pages map[string]int, failed []error) {
	u := rollingUpdate{Failed: len(failed)}
	for _, n := range pages {
		u.Answered += n
	}
	s.Updates = append(s.Updates, u)
}

// TestRolling updates a service three times under the eyes of eight users: no
// request may fail, and after an update nobody sees the version before. Without
// --rolling some do, or the test would show nothing.
func TestRolling(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(rollingApp), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	up := func(version int, args ...string) {
		t.Helper()
		out := must(t, d, append([]string{"env", "PORT=" + port, fmt.Sprintf("VERSION=%d", version), "berth", "compose", "-f", file, "up"}, args...)...)
		t.Log(out)
	}
	up(1, "-d", "--wait")
	u := startUsers(t, "http://127.0.0.1:"+port+"/", 8)
	eventually(t, "a page", func() []string {
		if pages, failed := u.took(); len(pages) == 0 {
			return []string{fmt.Sprint(failed)}
		}
		return nil
	})
	kept := rollingSamples{About: measured.Here("go test ./test/e2e -run TestRolling -update"), Users: 8}
	for version := 2; version <= 4; version++ {
		up(version, "--rolling")
		pages, failed := u.took()
		t.Logf("update to %d: %v, %d failed", version, pages, len(failed))
		if len(failed) > 0 {
			t.Fatalf("update to %d: %d requests failed, the first: %v", version, len(failed), failed[0])
		}
		kept.add(pages, failed)
		before, after := fmt.Sprintf("version %d", version-1), fmt.Sprintf("version %d", version)
		if pages[before] == 0 || pages[after] == 0 || len(pages) != 2 {
			t.Errorf("update to %d: users saw %v", version, pages)
		}
		// What was asked before the update ended may be answered after it.
		eventually(t, "the new version alone", func() []string {
			if pages, failed := u.took(); len(failed) > 0 || len(pages) != 1 || pages[after] == 0 {
				return []string{fmt.Sprint(pages, failed)}
			}
			return nil
		})
	}
	if *rewrite && !t.Failed() {
		if err := measured.Save("../../docs/measured/rolling.json", kept); err != nil {
			t.Error(err)
		}
	}
	up(5, "-d", "--wait")
	if pages, failed := u.took(); len(failed) == 0 {
		t.Errorf("an update that stops first failed nobody: %v", pages)
	}
	u.stop()
	u.wait.Wait()
	must(t, d, "env", "PORT="+port, "VERSION=5", "berth", "compose", "-f", file, "down", "-t", "0")
}
