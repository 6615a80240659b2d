package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"
)

// statusError ends the program with a certain status. Its cause may be nil,
// when everything has been said or the container speaks for itself.
type statusError struct {
	code  int
	cause error
}

func (e *statusError) Error() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Error()
}

func (e *statusError) Unwrap() error { return e.cause }

// exitWith is the status of a container, nil for success.
func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return &statusError{code: code}
}

// hintError adds the pointer to a command's help which run and create give.
type hintError struct {
	verb  string
	cause error
}

func (e *hintError) Error() string {
	return fmt.Sprintf("berth: %s\n\nRun 'berth %s --help' for more information", e.cause, e.verb)
}

func (e *hintError) Unwrap() error { return e.cause }

// runError gives the error of create or start its exit status: 127 when the
// program was not found, 126 when it cannot be run, 125 otherwise. The daemon
// tells these apart only by their text, as runc worded it.
func runError(verb string, err error) error {
	code := 125
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		code = 127
	case strings.Contains(text, "permission denied"), strings.Contains(text, "is a directory"):
		code = 126
	}
	if client.IsErrConnectionFailed(err) {
		code = 125
	}
	return &statusError{code, &hintError{verb, err}}
}

// explain words a failed connection so that the user knows what to do.
func (s *Session) explain(err error) error {
	if !client.IsErrConnectionFailed(err) {
		return err
	}
	text := err.Error()
	var say string
	switch {
	case strings.Contains(text, "permission denied"):
		say = fmt.Sprintf("permission denied while trying to connect to the Berth daemon at %s\n"+
			"Run the command as root, or as a member of the group that owns the socket.", s.host)
	case strings.Contains(text, "no such file"), strings.Contains(text, "connection refused"), strings.Contains(text, "Is the docker daemon running"):
		say = fmt.Sprintf("Cannot connect to the Berth daemon at %s. Is the berth daemon running?", s.host)
		if strings.HasPrefix(s.host, "unix://") {
			say += "\n" + s.startHint()
		}
	default:
		return err
	}
	if hint, ok := errors.AsType[*hintError](err); ok {
		return &statusError{125, &hintError{hint.verb, errors.New(say)}}
	}
	return errors.New(say)
}
