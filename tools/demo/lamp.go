package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/berth-engine/berth/test/measured"
)

const (
	lampUsers = 16
	lampTime  = 6 * time.Second // how long each step is measured
)

// lampRow is one line of the demonstration's result.
type lampRow struct {
	What    string    `json:"step"`
	Servers int       `json:"servers"`
	Took    []float64 `json:"requests_ms"` // each request that was answered
	Failed  int       `json:"failed"`
	Seconds float64   `json:"seconds"` // how long was measured
	Allowed float64   `json:"may_use"` // what all web servers together may use, in processors
	Web     float64   `json:"used"`    // what they used
	Machine float64   `json:"machine"` // what everything used: users, database and kernel, too
}

// rate is how many requests were answered in a second.
func (r lampRow) rate() float64 { return float64(len(r.Took)) / r.Seconds }

// lampFile is what was measured, for the page.
type lampFile struct {
	measured.About
	Processors int       `json:"processors"`
	Users      int       `json:"users"`
	Rows       []lampRow `json:"steps"`
}

// lamp builds the guest book of examples/lamp, shares it through the Hub, and
// scales it while users are there.
func lamp(ctx context.Context, s *stage) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o644); err != nil { //nolint:gosec // the container's user reads it
		return err
	}
	s.env = []string{"HUB=" + s.hubAddr, "WEB_PORT=" + port, "PASSWORD_FILE=" + password}
	page := "http://127.0.0.1:" + port + "/"

	s.heading("Images, all made from Debian's packages")
	if err := s.debian(ctx); err != nil {
		return err
	}
	if err := s.lampCompose(ctx, "build", "--quiet"); err != nil {
		return err
	}
	s.heading("Through the Hub: pushed, removed here, pulled")
	for _, args := range [][]string{{"push", "--quiet"}, {"down", "--rmi", "all"}, {"pull", "--quiet"}} {
		if err := s.lampCompose(ctx, args...); err != nil {
			return err
		}
	}
	s.heading("One database, one web server")
	if err := s.lampCompose(ctx, "up", "--detach", "--wait", "--no-build"); err != nil {
		return err
	}
	if err := writeNotes(ctx, page, 3); err != nil {
		return err
	}
	kept := lampFile{About: measured.Here("make demo-lamp DEMOARGS=-plot"), Processors: runtime.NumCPU(), Users: lampUsers}
	if kept.Rows, err = s.lampScale(ctx, page); err != nil {
		return err
	}
	s.heading("What it made")
	fmt.Fprint(s.out, lampTable(kept))
	return errors.Join(s.lampData(ctx, page), s.keep("lamp", kept))
}

// lampCompose runs a command of berth compose with the example.
func (s *stage) lampCompose(ctx context.Context, args ...string) error {
	return s.show(ctx, s.out, append([]string{"compose", "--progress", "quiet", "--file", "examples/lamp/compose.yaml"}, args...)...)
}

// freePort asks the kernel for a TCP port that nobody has.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
