//go:build nodefence_nowhere

package stage

import (
	"os"
	"strconv"
)

func startDir(pid int) (*os.File, error) { return os.Open("/proc/" + strconv.Itoa(pid) + "/root") }
