package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPty runs a program on a terminal of its own and plays a person:
//
//	pty STEPS PROGRAM ARGS…
//
// STEPS is a file with one step a line: "expect REGEXP" waits until the output
// since the last match contains it, "send TEXT" types TEXT (a Go string
// without its quotes), "resize ROWSxCOLS" changes the window, "exit CODE"
// waits for the end and compares the exit status.
func cmdPty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pty STEPS PROGRAM ARGS…")
	}
	p, err := openTerminal(program(ts, args[1:]), 24, 80)
	ts.Check(err)
	defer p.close()
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		verb, arg, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if verb == "" || verb == "#" {
			continue
		}
		if err := p.step(verb, arg); err != nil {
			ts.Fatalf("%s %s: %v\nso far:\n%q", verb, arg, err, p.seen.String())
		}
	}
}

// terminal is a program whose terminal the test holds.
type terminal struct {
	cmd     *exec.Cmd
	master  *os.File
	output  chan string
	seen    strings.Builder
	pending string // output after the last match
	done    chan error
}

func openTerminal(cmd *exec.Cmd, rows, cols uint16) (*terminal, error) {
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: cols})
	if err != nil {
		return nil, err
	}
	p := &terminal{cmd: cmd, master: master, output: make(chan string, 64), done: make(chan error, 1)}
	go func() {
		defer close(p.output)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if n > 0 {
				p.output <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

func (p *terminal) step(verb, arg string) error {
	switch verb {
	case "expect":
		return p.expect(arg)
	case "send":
		text, err := strconv.Unquote(`"` + arg + `"`)
		if err != nil {
			return err
		}
		_, err = io.WriteString(p.master, text)
		return err
	case "resize":
		var size pty.Winsize
		if _, err := fmt.Sscanf(arg, "%dx%d", &size.Rows, &size.Cols); err != nil {
			return err
		}
		return pty.Setsize(p.master, &size)
	case "exit":
		return p.exit(arg)
	default:
		return errors.New("unknown step")
	}
}

func (p *terminal) expect(pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	timeout := time.After(20 * time.Second)
	for {
		if at := re.FindStringIndex(p.pending); at != nil {
			p.pending = p.pending[at[1]:]
			return nil
		}
		select {
		case text, ok := <-p.output:
			if !ok {
				return errors.New("the program ended first")
			}
			p.seen.WriteString(text)
			p.pending += text
		case <-timeout:
			return errors.New("did not come")
		}
	}
}

func (p *terminal) exit(want string) error {
	timeout := time.After(20 * time.Second)
	output := p.output
	for {
		select {
		case text, ok := <-output: // drained, so that the program can end
			if !ok {
				output = nil
			}
			p.seen.WriteString(text)
		case err := <-p.done:
			code := 0
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				code = exit.ExitCode()
			} else if err != nil {
				return err
			}
			if strconv.Itoa(code) != want {
				return fmt.Errorf("exit status is %d", code)
			}
			return nil
		case <-timeout:
			return errors.New("still running")
		}
	}
}

func (p *terminal) close() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	p.master.Close()
	for range p.output {
	}
}
