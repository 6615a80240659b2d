package container

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// ErrAlreadyStarted is what Start answers for a container that runs: not an
// error to Docker's clients (304).
var ErrAlreadyStarted error = &kinded{kind: errdefs.ErrNotModified, text: "container is already started"}

// ErrAlreadyStopped is what Stop answers for a container that does not run:
// not an error to Docker's clients (304).
var ErrAlreadyStopped error = &kinded{kind: errdefs.ErrNotModified, text: "container is already stopped"}

// kinded gives a text one of errdefs' kinds without the kind's own words, so
// that what a user reads is Docker's text and nothing else.
type kinded struct {
	kind error
	text string
	err  error // what it wraps; may be nil
}

func (e *kinded) Error() string { return e.text }

func (e *kinded) Unwrap() []error {
	if e.err == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.err}
}

func fail(kind error, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &kinded{kind: kind, text: err.Error(), err: errors.Unwrap(err)}
}

func invalid(format string, args ...any) error {
	return fail(errdefs.ErrInvalidArgument, format, args...)
}

func notFound(format string, args ...any) error {
	return fail(errdefs.ErrNotFound, format, args...)
}

func conflict(format string, args ...any) error {
	return fail(errdefs.ErrConflict, format, args...)
}

func notImplemented(field string) error {
	return fail(errdefs.ErrNotImplemented, "%s is not supported yet", field)
}
