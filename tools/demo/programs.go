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
	"syscall"
	"time"
)

// patience bounds how long a program may take until it is ready.
const patience = time.Minute

// startHub starts the Hub on a free loopback port and waits for its word.
func (s *stage) startHub(context.Context) error {
	cmd := s.program("berth-hub", "serve", "--listen", "127.0.0.1:0",
		"--data", filepath.Join(s.dir, "hub"), "--access-log", s.accessLog())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.start(cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		return fmt.Errorf("berth-hub said %q (%w):\n%s", line, err, s.log("berth-hub"))
	}
	s.hubAddr = addr
	return nil
}

// startDaemon starts the engine with the Hub as docker.io's mirror and waits
// until its socket takes connections.
func (s *stage) startDaemon(ctx context.Context) error {
	cmd := s.program("berthd", "--host", "unix://"+s.socket(), "--data-root", filepath.Join(s.dir, "data"),
		"--exec-root", filepath.Join(s.dir, "exec"), "--pidfile", filepath.Join(s.dir, "berth.pid"),
		"--config-file", filepath.Join(s.dir, "daemon.json"), "--bridge", fmt.Sprintf("bd%d", os.Getpid()),
		"--registry-mirror", "http://"+s.hubAddr)
	if err := s.start(cmd); err != nil {
		return err
	}
	var dialer net.Dialer
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err := dialer.DialContext(ctx, "unix", s.socket()); err == nil {
			return c.Close()
		}
		if ctx.Err() != nil || syscall.Kill(cmd.Process.Pid, 0) != nil {
			break
		}
	}
	return fmt.Errorf("berthd did not get ready:\n%s", s.log("berthd"))
}

// program makes a command whose log is a file in the stage's directory.
func (s *stage) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	return cmd
}

func (s *stage) start(cmd *exec.Cmd) error {
	f, err := os.OpenFile(filepath.Join(s.dir, filepath.Base(cmd.Path)+".log"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.Stderr = f
	if err := cmd.Start(); err != nil {
		return err
	}
	s.started = append(s.started, cmd)
	return nil
}

func (s *stage) log(name string) string {
	data, err := os.ReadFile(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (s *stage) accessLog() string { return filepath.Join(s.dir, "access.log") }

// berth runs the client against the stage's engine; w nil means that only a
// failure shows what it printed.
func (s *stage) berth(ctx context.Context, w io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "berth"), args...)
	cmd.Env = append(os.Environ(), "BERTH_HOST=unix://"+s.socket(), "DOCKER_CONFIG="+filepath.Join(s.dir, "config"))
	var quiet bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if w == nil {
		cmd.Stdout, cmd.Stderr = &quiet, &quiet
	} else {
		fmt.Printf("$ berth %s\n", strings.Join(args, " "))
	}
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("berth %s: %w", strings.Join(args, " "), err), errors.New(quiet.String()))
	}
	return nil
}

func (s *stage) pushBusybox(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "mkimage"), "--busybox", "http://"+s.hubAddr+"/library/busybox:latest")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		fmt.Printf("pushed library/busybox:latest to the Hub as %s", out)
	}
	return err
}
