package sandbox

import (
	"github.com/berth-engine/berth/sandbox/monitor"
)

// Exit says how a sandbox ended. It is what exit.json holds.
type Exit = monitor.Exit

// ReadExit reads the exit record of the last run from stateDir. The error is
// errdefs.NotFound if there is none.
func ReadExit(stateDir string) (*Exit, error) {
	return monitor.ReadExit(stateDir)
}

// A StartError says that process 1's program could not be executed. Nothing
// runs, the sandbox is over and has an exit record with the same code.
type StartError struct {
	// ExitCode is 127 (not found) or 126 (found, but cannot be executed).
	ExitCode int
	// Text is the reason in the words of other runtimes, for example
	// `exec: "nosuch": executable file not found in $PATH`.
	Text string
}

func (e *StartError) Error() string { return e.Text }
