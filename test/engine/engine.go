// Package engine starts private instances of Berth's programs for tests and
// benchmarks: a Hub on a free loopback port and a daemon with throw-away
// directories, its own socket and its own bridge. Everything it starts it also
// stops, by pid.
package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// readyIn bounds how long a program may take to say that it is ready; it is
// far above what is normal, because test machines are loaded.
const readyIn = 60 * time.Second

// Bin returns the folder with the programs under test: $BERTH_BIN, or bin/ in
// the root of the repository that holds the working directory.
func Bin() (string, error) {
	if dir := os.Getenv("BERTH_BIN"); dir != "" {
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			bin := filepath.Join(dir, "bin")
			if _, err := os.Stat(filepath.Join(bin, "berthd")); err != nil {
				return "", fmt.Errorf("%s/berthd is missing: run `make build` first", bin)
			}
			return bin, nil
		}
	}
	return "", errors.New("no go.mod above the working directory")
}

// process is a started program whose output goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

func start(logPath string, stdout io.Writer, env []string, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.Background(), name, args...) // until end
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = log
	cmd.Stdout = log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: logPath, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// end sends sig and waits for the process; a process that ignores the signal
// for a minute is killed, which is an error.
func (p *process) end(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(readyIn):
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("%s did not end on %s", p.cmd.Path, sig), err)
	}
}

// Log returns what the process wrote so far.
func (p *process) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Hub is a running berth-hub.
type Hub struct {
	*process
	Addr      string // host:port on loopback
	AccessLog string // path
}

// StartHub starts a Hub that keeps its data below dir and waits until it
// listens. listen "" means a free port; args are further flags.
func StartHub(dir, listen string, args ...string) (*Hub, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	access := filepath.Join(dir, "access.log")
	p, err := start(filepath.Join(dir, "hub.log"), w, nil, filepath.Join(bin, "berth-hub"),
		append([]string{"serve", "--listen", listen, "--data", filepath.Join(dir, "hub"), "--access-log", access}, args...)...)
	w.Close()
	if err != nil {
		return nil, err
	}
	if err := r.SetReadDeadline(time.Now().Add(readyIn)); err != nil {
		return nil, errors.Join(err, p.end(syscall.SIGKILL))
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("berth-hub said %q: %w\n%s", line, err, p.Log()), p.end(syscall.SIGKILL))
	}
	return &Hub{process: p, Addr: addr, AccessLog: access}, nil
}

// Stop ends the Hub.
func (h *Hub) Stop() error { return h.end(syscall.SIGTERM) }

// Pid is that of the Hub's process.
func (h *Hub) Pid() int { return h.cmd.Process.Pid }

// Kill ends the Hub as a crash would.
func (h *Hub) Kill() error { return h.end(syscall.SIGKILL) }

// Daemon is a private engine. Its directories outlive Stop and Kill, so that
// it can be started again.
type Daemon struct {
	*process
	// Bin is the folder of its programs; empty means Bin().
	Bin    string
	Dir    string // holds data-root, exec-root, socket and logs
	Socket string // path of the API socket
	Bridge string
	args   []string
	env    []string
}

var bridges atomic.Int32

// NewDaemon prepares a daemon below dir without starting it. args are added to
// its command line.
func NewDaemon(dir string, args ...string) *Daemon {
	bridge := fmt.Sprintf("bt%dx%d", os.Getpid()%100000, bridges.Add(1))
	return &Daemon{Dir: dir, Socket: filepath.Join(dir, "berth.sock"), Bridge: bridge, args: args}
}

// DataRoot is where the daemon keeps what lasts.
func (d *Daemon) DataRoot() string { return filepath.Join(d.Dir, "data") }

// ExecRoot is where the daemon keeps what may vanish at reboot.
func (d *Daemon) ExecRoot() string { return filepath.Join(d.Dir, "exec") }

// Host is the value for BERTH_HOST and DOCKER_HOST.
func (d *Daemon) Host() string { return "unix://" + d.Socket }

// Started tells whether Start was ever called.
func (d *Daemon) Started() bool { return d.process != nil }

// Setenv says what later starts find in their environment, as NAME=value,
// beside what the test has.
func (d *Daemon) Setenv(kv ...string) { d.env = kv }

// Start starts the daemon and waits until it answers a ping.
func (d *Daemon) Start(ctx context.Context, extra ...string) error {
	bin := d.Bin
	if bin == "" {
		var err error
		if bin, err = Bin(); err != nil {
			return err
		}
	}
	// An empty configuration of its own keeps the machine's out.
	config := filepath.Join(d.Dir, "daemon.json")
	if _, err := os.Stat(config); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
			return err
		}
	}
	args := append([]string{
		"--data-root", d.DataRoot(), "--exec-root", d.ExecRoot(), "--host", d.Host(),
		"--pidfile", filepath.Join(d.Dir, "berth.pid"), "--bridge", d.Bridge,
		"--config-file", config, "--debug",
	}, append(d.args, extra...)...)
	var err error
	d.process, err = start(filepath.Join(d.Dir, "berthd.log"), nil, d.env, filepath.Join(bin, "berthd"), args...)
	if err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return errors.Join(fmt.Errorf("berthd: %w\n%s", err, d.Log()), d.end(syscall.SIGKILL))
	}
	return nil
}

func (d *Daemon) ready(ctx context.Context) error {
	client := d.Client()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berth/_ping", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-d.done:
			return fmt.Errorf("ended before it was ready: %w", d.err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Client returns an HTTP client whose connections go to the daemon's socket.
func (d *Daemon) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", d.Socket)
		},
	}}
}

// Pid is the daemon's process id.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Stop ends the daemon as a service manager would.
func (d *Daemon) Stop() error { return d.end(syscall.SIGTERM) }

// Kill ends the daemon without warning.
func (d *Daemon) Kill() error { return d.end(syscall.SIGKILL) }

// Running tells whether the daemon was started and has not been seen to end.
func (d *Daemon) Running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// Died waits for the daemon to end by itself, five seconds at most. The kernel
// takes a moment to bury a process that clients already miss.
func (d *Daemon) Died() bool {
	select {
	case <-d.done:
		return true
	case <-time.After(5 * time.Second):
		return false
	}
}

// Environ is the environment that points clients at this daemon and puts the
// programs under test first on the PATH.
func (d *Daemon) Environ() []string {
	bin, _ := Bin()
	return []string{
		"BERTH_HOST=" + d.Host(), "DOCKER_HOST=" + d.Host(),
		"PATH=" + bin + ":" + os.Getenv("PATH"),
		"HOME=" + d.Dir, "DOCKER_CONFIG=" + filepath.Join(d.Dir, "docker"),
	}
}

// FreePort asks the kernel for a TCP port that nobody listens on at loopback.
func FreePort() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
