package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall" //nolint:depguard // Setsid detaches the daemon; no wrapper is worth an import of kernel.
	"time"
)

const (
	daemonLog      = "/var/log/berth/berthd.log"
	daemonPatience = 20 * time.Second
)

// startHint says how to get a daemon.
func (s *Session) startHint() string {
	if os.Geteuid() == 0 {
		return "Start it with: berthd &\nor let the client do it: berth --start-daemon COMMAND, or BERTH_AUTOSTART=1 in the environment"
	}
	return "Start it with: sudo berthd &"
}

// wantsDaemon tells whether the user asked to have the daemon started: by
// --start-daemon, or, as root, by BERTH_AUTOSTART=1.
func (s *Session) wantsDaemon() (bool, error) {
	auto := os.Getenv("BERTH_AUTOSTART")
	switch root := os.Geteuid() == 0; {
	case s.flags.startDaemon && !root:
		return false, errors.New("--start-daemon: only root can start the Berth daemon")
	case !s.flags.startDaemon && (!root || auto == "" || auto == "0" || auto == "false"):
		return false, nil
	case !strings.HasPrefix(s.host, "unix://"):
		return false, fmt.Errorf("cannot start a daemon for %s: only a unix socket is on this machine for certain", s.host)
	}
	return true, nil
}

// startDaemon starts berthd for the session's socket unless something answers
// there, and waits until it does.
func (s *Session) startDaemon(ctx context.Context) error {
	socket := strings.TrimPrefix(s.host, "unix://")
	if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
		return conn.Close()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := findProgram(self, "berthd")
	if err != nil {
		return err
	}
	d := daemon{program: program, socket: socket, log: daemonLog}
	if s.host != defaultHost {
		d.args = []string{"-H", s.host}
	}
	return d.start(ctx)
}

// findProgram looks beside the client and in ../libexec/berth, never in PATH:
// the program may run as root. A place where others may write is refused.
func findProgram(self, name string) (string, error) {
	self, err := filepath.EvalSymlinks(self)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "berth", name)} {
		info, err := os.Stat(p)
		if err != nil {
			continue
		}
		if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		for _, path := range []string{p, filepath.Dir(p)} {
			if info, err := os.Stat(path); err != nil || info.Mode()&0o002 != 0 {
				return "", fmt.Errorf("refusing to start %s: everybody may write to %s", p, path)
			}
		}
		return p, nil
	}
	return "", fmt.Errorf("%s was found neither in %s nor in %s", name, dir, filepath.Join(filepath.Dir(dir), "libexec", "berth"))
}

// daemon is a berthd to start.
type daemon struct {
	program string
	args    []string
	socket  string
	log     string
}

// start detaches berthd in a session of its own, its output in the log, and
// waits until it answers a ping. A daemon that ends first is an error with
// the last lines of its log, except that another one may have won the race.
func (d daemon) start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(d.log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	// Not CommandContext: the daemon outlives this command.
	cmd := exec.Command(d.program, d.args...) //nolint:noctx // see above
	cmd.Dir = "/"
	cmd.Env = daemonEnv(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return d.await(ctx, ended, before)
}

func (d daemon) await(ctx context.Context, ended <-chan error, logStart int64) error {
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	var exit error
	exited, tries := false, 0
	for {
		if d.ping(ctx) == nil {
			return nil
		}
		if exited {
			if tries++; tries > 20 {
				return fmt.Errorf("the Berth daemon ended at once (%w); its log %s says:\n%s", exit, d.log, d.tail(logStart))
			}
		}
		select {
		case err := <-ended:
			exited, exit, ended = true, err, nil
			if err == nil {
				exit = errors.New("exit status 0")
			}
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the Berth daemon does not answer at unix://%s; see its log %s: %w", d.socket, d.log, ctx.Err())
		}
	}
}

func (d daemon) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berth/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ping: %s", resp.Status)
	}
	return nil
}

// tail is what the daemon wrote since its start, at most the last 2 KB.
func (d daemon) tail(from int64) string {
	f, err := os.Open(d.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		from = max(from, end-2048)
	}
	b := make([]byte, 2048)
	n, _ := f.ReadAt(b, from)
	return string(bytes.TrimSpace(b[:n]))
}

// daemonEnv drops what configures clients.
func daemonEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "DOCKER_") && !strings.HasPrefix(e, "BERTH_HOST=") && !strings.HasPrefix(e, "BERTH_AUTOSTART=") {
			out = append(out, e)
		}
	}
	return out
}
