// Package pressure tells whether the host is short of something, so that what is
// kept ready for speed alone can be given back.
package pressure

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Memory is short where programs lost more than so many percent of the last ten
// seconds to waiting for it (Documentation/accounting/psi.rst), or, where the
// kernel does not tell, where less than a part of it is available.
const (
	shortPressure  = 10.0 // percent
	shortAvailable = 20   // one part of so many
)

// MemoryShort tells whether the host needs its memory for something better than
// what is kept ready.
func MemoryShort() bool { return memoryShort("/proc") }

// memoryShort tells whether the host needs its memory for something better than
// what is kept ready. dir is /proc, but for tests.
func memoryShort(dir string) bool {
	if data, err := os.ReadFile(dir + "/pressure/memory"); err == nil {
		if lost, ok := someAvg10(data); ok {
			return lost >= shortPressure
		}
	}
	data, err := os.ReadFile(dir + "/meminfo")
	if err != nil {
		return false
	}
	total, available := meminfo(data, "MemTotal:"), meminfo(data, "MemAvailable:")
	return total > 0 && available > 0 && available < total/shortAvailable
}

// Total is how many bytes of memory the host has; 0 if the kernel does not say.
func Total() uint64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return meminfo(data, "MemTotal:") << 10
}

// someAvg10 reads "some avg10=0.12 avg60=…".
func someAvg10(data []byte) (float64, bool) {
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "some" {
			continue
		}
		text, ok := strings.CutPrefix(f[1], "avg10=")
		v, err := strconv.ParseFloat(text, 64)
		return v, ok && err == nil
	}
	return 0, false
}

// meminfo reads a field of /proc/meminfo, in kB; 0: it is not there.
func meminfo(data []byte, field string) uint64 {
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == field {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
