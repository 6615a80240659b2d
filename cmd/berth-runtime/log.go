package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

// logger writes lines in the forms of runc, which containerd, conmon and Podman
// parse.
type logger struct {
	path, format string
	debug        bool
	out          *os.File
}

func newLogger() *logger { return &logger{out: os.Stderr} }

func (l *logger) open() (err error) {
	if l.format != "text" && l.format != "json" {
		return fmt.Errorf("invalid log-format: %s", l.format)
	}
	if l.path != "" {
		l.out, err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	}
	return err
}

func (l *logger) warn(text string) { l.line("warning", text) }

func (l *logger) debugf(format string, args ...any) {
	if l.debug {
		l.line("debug", fmt.Sprintf(format, args...))
	}
}

// tell is debugf for a text.
func (l *logger) tell(text string) { l.debugf("%s", text) }

// fatal says why the command failed, to people as well if they do not read
// the log.
func (l *logger) fatal(err error) {
	l.line("error", err.Error())
	if l.out != os.Stderr {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (l *logger) line(level, text string) {
	now := time.Now().Format(time.RFC3339)
	if l.format != "json" {
		fmt.Fprintf(l.out, "time=%q level=%s msg=%s\n", now, level, strconv.Quote(text))
		return
	}
	data, err := json.Marshal(struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Time  string `json:"time"`
	}{level, text, now})
	if err == nil {
		_, _ = l.out.Write(append(data, '\n')) // there is nobody left to tell
	}
}
