package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience bounds how long a program may take to get ready or to end.
const patience = time.Minute

// stage is the demonstration's throw-away world.
type stage struct {
	out         io.Writer
	bin, dir    string
	hub, daemon *program
	hubAddr     string
	headings    int
	plot        bool     // keep what was measured, and show it in the documentation
	env         []string // for berth, beside what says where the engine is
}

func newStage(out io.Writer, bin string) (*stage, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{"berth", "berthd", "berth-sandbox", "berth-netd", "berth-hub", "berth-build", "berth-compose", "mkimage"} {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return nil, fmt.Errorf("%s is missing: run `make build`", filepath.Join(bin, p))
		}
	}
	dir, err := os.MkdirTemp("", "berth-demo-")
	return &stage{out: out, bin: bin, dir: dir}, err
}

func (s *stage) heading(text string) {
	s.headings++
	fmt.Fprintf(s.out, "\n== %d. %s\n", s.headings, text)
}

func (s *stage) socket() string    { return filepath.Join(s.dir, "berth.sock") }
func (s *stage) host() string      { return "unix://" + s.socket() }
func (s *stage) accessLog() string { return filepath.Join(s.dir, "access.log") }

// startHub starts the Hub on a free loopback port and waits for its word.
func (s *stage) startHub() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	s.hub, err = s.start(w, "berth-hub", "serve", "--listen", "127.0.0.1:0",
		"--data", filepath.Join(s.dir, "hub"), "--access-log", s.accessLog())
	w.Close()
	if err != nil {
		return err
	}
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		return s.hub.failure(fmt.Errorf("said %q: %w", line, err))
	}
	s.hubAddr = addr
	return nil
}

// startDaemon starts the engine, with the Hub as docker.io's mirror, and waits
// until its socket takes connections.
func (s *stage) startDaemon(ctx context.Context) (err error) {
	// An empty configuration of its own keeps the machine's out.
	config := filepath.Join(s.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return err
	}
	s.daemon, err = s.start(nil, "berthd", "--host", s.host(), "--data-root", filepath.Join(s.dir, "data"),
		"--exec-root", filepath.Join(s.dir, "exec"), "--pidfile", filepath.Join(s.dir, "berth.pid"),
		"--config-file", config, "--bridge", fmt.Sprintf("bd%d", os.Getpid()),
		"--registry-mirror", "http://"+s.hubAddr, "--debug", "--log-format", "json")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		if c, err := dialer.DialContext(ctx, "unix", s.socket()); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-s.daemon.done:
			return s.daemon.failure(errors.New("ended before it was ready"))
		case <-ctx.Done():
			return s.daemon.failure(fmt.Errorf("not ready: %w", ctx.Err()))
		}
	}
}

// client is a command of berth, pointed at the stage's engine and away from
// the user's configuration.
func (s *stage) client(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "berth"), args...)
	cmd.Env = append(append(os.Environ(), s.env...), "BERTH_HOST="+s.host(), "DOCKER_HOST="+s.host(), "DOCKER_CONFIG="+filepath.Join(s.dir, "config"))
	return cmd
}

// show runs a command of berth in sight: its line, what it prints.
func (s *stage) show(ctx context.Context, stdout io.Writer, args ...string) error {
	fmt.Fprintf(s.out, "$ berth %s\n", strings.Join(args, " "))
	cmd := s.client(ctx, args...)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("berth %s: %w", args[0], err)
	}
	return nil
}

// ask runs a command of berth and returns what it printed.
func (s *stage) ask(ctx context.Context, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := s.client(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("berth %s: %w\n%s", strings.Join(args, " "), err, errOut.Bytes())
	}
	return out.Bytes(), nil
}

func (s *stage) pushBusybox(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "mkimage"), "--busybox", "http://"+s.hubAddr+"/library/busybox:latest")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("mkimage: %w", err)
	}
	fmt.Fprintf(s.out, "pushed library/busybox:latest to the Hub as %s", out)
	return nil
}

// close removes the containers, stops engine and Hub, and removes the
// directory, whatever happened before.
func (s *stage) close() error {
	var errs []error
	if s.daemon != nil {
		errs = append(errs, s.removeContainers(), s.daemon.end())
	}
	if s.hub != nil {
		errs = append(errs, s.hub.end())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func (s *stage) removeContainers() error {
	select {
	case <-s.daemon.done: // it cannot be asked any more
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ids, err := s.ask(ctx, "ps", "--all", "--quiet", "--no-trunc")
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		if _, err := s.ask(ctx, append([]string{"rm", "--force"}, strings.Fields(string(ids))...)...); err != nil {
			return err
		}
	}
	_, err = s.ask(ctx, "network", "prune", "--force")
	return err
}
