// Package state writes the state of a container as JSON, as the OCI runtime
// specification wants it: for hooks on their standard input, and for the agent
// that answers seccomp notifications.
//
// It is linked into berth-sandbox and does without encoding/json, which would
// be a tenth of a monitor's memory. What it writes is byte for byte what
// encoding/json makes of the specification's types; a test holds the two
// together.
package state
