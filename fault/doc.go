// Package fault offers named points at which a test can make a program fail.
//
// A point costs nothing in ordinary builds. In a build with the tag
// faultpoints, the environment variable BERTH_FAULT says what happens at which
// point: a comma-separated list of name=action, where the action is kill (the
// process ends at once, as by kill -9), error (Point returns an *Error),
// panic:N (Point panics when the process passes it for the Nth time, and only
// then) or sleep:DURATION (a Go duration; Point then returns nil).
package fault
