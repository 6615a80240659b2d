package build

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/pressure"
)

// shareOfMemory is the part of the host's memory that git may take for a
// repository, one of so many: a server can name references without end, which git
// keeps before it writes anything.
const shareOfMemory = 4

// memoryBound is that part in bytes; 0 if the kernel does not say what there is.
func memoryBound() int64 { return int64(pressure.Total() / shareOfMemory) } //nolint:gosec // not so much

// gitMemory is how many bytes of memory of their own git and its helpers take that
// this process has started for one of words: each git has a process group.
func gitMemory(words []string) int64 {
	groups := map[int]bool{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, dir := range dirs {
		pid := numberOf(dir)
		if parent, _, err := ns.ProcessParent(pid); err == nil && parent == os.Getpid() && groupOf(pid) == pid && isFor(dir, words) {
			groups[pid] = true
		}
	}
	if len(groups) == 0 {
		return 0
	}
	var sum int64
	for _, dir := range dirs {
		if groups[groupOf(numberOf(dir))] {
			sum += anonymous(filepath.Join(dir, "status"))
		}
	}
	return sum
}

func numberOf(dir string) int {
	pid, _ := strconv.Atoi(filepath.Base(dir)) // the kernel's
	return pid
}

// groupOf is the process group of a process; 0 if it has ended.
func groupOf(pid int) int {
	group, err := syscall.Getpgid(pid)
	if err != nil {
		return 0
	}
	return group
}

// isFor tells whether a process was given one of words, among others.
func isFor(dir string, words []string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	for _, w := range words {
		if bytes.Contains(text, []byte(w)) {
			return true
		}
	}
	return false
}

// anonymous reads the bytes of a process that are of no file.
func anonymous(status string) int64 {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
