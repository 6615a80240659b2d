package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall" //nolint:depguard // a socket pair for ssh, in a session of its own; no wrapper is worth an import of kernel.
	"time"
)

// sshTarget is the machine of an ssh:// address.
type sshTarget struct{ user, host, port, socket string }

// parseSSH reads ssh://[USER@]HOST[:PORT][/SOCKET].
func parseSSH(addr string) (*sshTarget, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return nil, fmt.Errorf("invalid SSH URL: %w", err)
	}
	_, password := u.User.Password()
	switch {
	case u.Hostname() == "":
		return nil, fmt.Errorf("invalid SSH URL %s: hostname is empty", addr)
	case password:
		return nil, errors.New("invalid SSH URL: plain-text password is not supported")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("invalid SSH URL %s: query and fragment are not supported", addr)
	case strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-"):
		return nil, fmt.Errorf("invalid SSH URL %s: user and host must not begin with '-'", addr) // ssh would take them for options
	}
	t := &sshTarget{user: u.User.Username(), host: u.Hostname(), port: u.Port(), socket: u.Path}
	if t.socket == "/" {
		t.socket = ""
	}
	return t, nil
}

// args are ssh's arguments to reach the daemon's socket. On the other machine
// berth passes the connection on, or docker where there is no berth.
func (t *sshTarget) args() []string {
	args := []string{"-o", "ConnectTimeout=30", "-T"}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	if t.port != "" {
		args = append(args, "-p", t.port)
	}
	flag := ""
	if t.socket != "" {
		flag = " --host " + quote("unix://"+t.socket)
	}
	remote := "if command -v berth >/dev/null; then exec berth" + flag + " system dial-stdio; else exec docker" + flag + " system dial-stdio; fi"
	return append(args, "--", t.host, "sh -c "+quote(remote))
}

// quote makes a word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// sshConn is a connection through a running ssh, whose input and output are
// one socket.
type sshConn struct {
	*net.UnixConn
	host   string
	stderr *tail
	done   chan struct{} // closed when ssh has ended
	err    error         // how; valid then
}

// dialSSH starts ssh.
func dialSSH(t *sshTarget) (net.Conn, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ssh"), os.NewFile(uintptr(pair[1]), "ssh")
	defer ours.Close()
	defer theirs.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	s := &sshConn{UnixConn: c.(*net.UnixConn), host: t.host, stderr: &tail{}, done: make(chan struct{})}
	cmd := exec.Command("ssh", t.args()...) //nolint:noctx // it ends with the connection
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, s.stderr
	// Ctrl-C is for the command here, which may still have things to say there.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		c.Close()
		return nil, fmt.Errorf("ssh to %s: %w", t.host, err)
	}
	go func() {
		defer close(s.done)
		s.err = cmd.Wait()
	}()
	return s, nil
}

// Read tells what ssh said if it is the reason for the end.
func (s *sshConn) Read(b []byte) (int, error) {
	n, err := s.UnixConn.Read(b)
	if n == 0 {
		err = s.explain(err)
	}
	return n, err
}

// Write tells what ssh said if it is the reason for the failure.
func (s *sshConn) Write(b []byte) (int, error) {
	n, err := s.UnixConn.Write(b)
	return n, s.explain(err)
}

func (s *sshConn) explain(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-s.done:
	case <-time.After(time.Second): // it is not about to end
		return err
	}
	if s.err == nil {
		return err
	}
	return fmt.Errorf("ssh to %s: %w: %s", s.host, s.err, s.stderr)
}

// tail keeps the end of what was written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// dialThrough is the dialer of an ssh:// address.
func dialThrough(t *sshTarget) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return dialSSH(t) }
}
