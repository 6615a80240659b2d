// Package postgres starts a PostgreSQL server of its own for a test: in a
// temporary folder, reached through a socket there, gone when the test ends.
package postgres

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Server is a running server.
type Server struct {
	bin, socket string
	as          *syscall.SysProcAttr
}

// Start runs a server until the test ends; it skips the test when PostgreSQL is
// not installed (Debian's package postgresql).
func Start(t *testing.T) *Server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Skip("PostgreSQL is not installed")
	}
	slices.Sort(found)
	// Short: a socket's path has an end. Beside others' folders, so its own.
	dir, err := os.MkdirTemp("", "pg-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &Server{bin: filepath.Dir(found[len(found)-1]), socket: dir, as: unprivileged(t, dir)}
	data := filepath.Join(dir, "data")
	s.run(t, "initdb", "-D", data, "-A", "trust", "-U", "hub", "-N", "-E", "UTF8", "--locale=C.UTF-8")
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100")
	cmd.Dir, cmd.SysProcAttr, cmd.Stderr = dir, s.as, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil { // fast shutdown
			t.Error(err)
		}
		_ = cmd.Wait() // it ended by a signal
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if s.command(t.Context(), "pg_isready", "-q", "-h", dir, "-U", "hub", "-d", "postgres").Run() == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not answer\n%s", log.String())
		}
	}
}

// unprivileged is how to run the server, which refuses to be root.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // ids
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = s.socket, s.as
	return cmd
}

func (s *Server) run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := s.command(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(t *testing.T, name string) string {
	t.Helper()
	s.run(t, "createdb", "-h", s.socket, "-U", "hub", name)
	return fmt.Sprintf("postgres://hub@/%s?host=%s", name, url.QueryEscape(s.socket))
}

// Again runs tests on databases of a server: database, which is set until all have
// ended, is what they ask for the URL of an empty one.
func Again(t *testing.T, database *func(*testing.T) string, tests map[string]func(*testing.T)) {
	t.Helper()
	server := Start(t)
	before, n := *database, 0
	defer func() { *database = before }()
	*database = func(t *testing.T) string {
		n++
		return server.Database(t, fmt.Sprint("test", n))
	}
	for name, test := range tests {
		t.Run(name, test)
	}
}
