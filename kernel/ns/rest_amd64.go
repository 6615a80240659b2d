package ns

import (
	"bytes"
	"os"
)

func restText()

// restStart is the address of restText's code.
var restStart uintptr

// RestProgram makes what a process executes by Rest, in a sealed file in memory; one
// serves any number of processes. ErrUnsupported where there is none for this
// processor.
func RestProgram() (*os.File, error) {
	code, err := codeAt(&restStart)
	if err != nil {
		return nil, err
	}
	return SealedMemfd("rest", bytes.NewReader(image(code, make([]byte, 8))))
}
