package cli

import (
	"fmt"
	"slices"
)

// logLevel is how much this client says of its own work. Only "debug" makes a
// difference: it shows the requests, as --debug does. What a user must know
// is no log, and is said at every level.
type logLevel string

// Set takes a name of Docker's client.
func (l *logLevel) Set(s string) error {
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"}, s) {
		return fmt.Errorf("unable to parse logging level: %s", s)
	}
	*l = logLevel(s)
	return nil
}

func (l *logLevel) String() string { return string(*l) }

// Type names the value in help texts.
func (*logLevel) Type() string { return "string" }

func (l *logLevel) debug() bool { return *l == "debug" || *l == "trace" }
