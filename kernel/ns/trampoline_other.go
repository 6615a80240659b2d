//go:build !amd64

package ns

import (
	"errors"
	"os"
)

// trampoline does not exist for this processor: who needs one does without a
// script.
func (s *Script) trampoline([]stepCall, int) (*os.File, error) {
	return nil, errors.ErrUnsupported
}

// RestProgram does not exist for this processor: who would rest stays awake.
func RestProgram() (*os.File, error) { return nil, errors.ErrUnsupported }
