package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// program is one that runs until it is told to end; its log is a file.
type program struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // what Wait said, once done
}

func (s *stage) start(stdout io.Writer, name string, args ...string) (*program, error) {
	p := &program{
		cmd:  exec.Command(filepath.Join(s.bin, name), args...), //nolint:noctx // ended by end, in its order
		log:  filepath.Join(s.dir, name+".log"),
		done: make(chan struct{}),
	}
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C comes to us alone
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// failure is an error with what the program logged.
func (p *program) failure(err error) error {
	log, readErr := os.ReadFile(p.log)
	return errors.Join(fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, log), readErr)
}

// end asks the program to end and waits; one that does not is killed, which is
// an error. Ending it twice is fine.
func (p *program) end() error {
	select {
	case <-p.done:
	default:
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
		defer timer.Stop()
		<-p.done
	}
	if p.err != nil {
		return p.failure(p.err)
	}
	return nil
}
