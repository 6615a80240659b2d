package spec

import "fmt"

// invalidError is an errdefs.InvalidArgument whose text is only what a user
// should read.
type invalidError struct{ text string }

func (e *invalidError) Error() string     { return e.text }
func (e *invalidError) InvalidParameter() {}

// unsupportedError is an errdefs.NotImplemented, likewise.
type unsupportedError struct{ text string }

func (e *unsupportedError) Error() string   { return e.text }
func (e *unsupportedError) NotImplemented() {}

func invalid(format string, args ...any) error {
	return &invalidError{fmt.Sprintf(format, args...)}
}
