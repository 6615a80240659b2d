// Package heap lets the program's heap grow before it is collected for the first
// time. It imports next to nothing, so that it is initialized before the libraries:
// their tables and regular expressions are ten megabytes, all of which stays, and
// four collections during the start found that out in a fifth of its time.
package heap

import (
	"os"
	"runtime/debug"
)

// percent is how much the heap grows between collections unless GOGC says otherwise.
const percent = 400

var _ = grow()

func grow() int {
	if os.Getenv("GOGC") != "" {
		return 0
	}
	return debug.SetGCPercent(percent)
}
