package task

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenFilesLimit returns the limit of open files of a process. It reads
// /proc/PID/limits, for which fewer rights are needed than for prlimit(2).
func OpenFilesLimit(pid int) (*unix.Rlimit, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/limits"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if f := strings.Fields(rest); ok && len(f) >= 2 {
			soft, err := parseLimit(f[0])
			hard, err2 := parseLimit(f[1])
			if err == nil && err2 == nil {
				return &unix.Rlimit{Cur: soft, Max: hard}, nil
			}
		}
	}
	return nil, fmt.Errorf("no limit of open files in %s", path)
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" {
		return unix.RLIM_INFINITY, nil
	}
	return strconv.ParseUint(s, 10, 64)
}
