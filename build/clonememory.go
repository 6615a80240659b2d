package build

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	groups := map[string]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	self := strconv.Itoa(os.Getpid())
	for _, path := range stats {
		if parent, group := parentAndGroup(path); parent == self && group == filepath.Base(filepath.Dir(path)) && isFor(path, words) {
			groups[group] = true
		}
	}
	if len(groups) == 0 {
		return 0
	}
	var sum int64
	for _, path := range stats {
		if _, group := parentAndGroup(path); groups[group] {
			sum += anonymous(filepath.Join(filepath.Dir(path), "status"))
		}
	}
	return sum
}

// parentAndGroup reads a process's stat, "pid (name) state parent group …".
func parentAndGroup(path string) (parent, group string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "" // it has ended
	}
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(f) < 3 {
		return "", ""
	}
	return string(f[1]), string(f[2])
}

// isFor tells whether a process was given one of words, among others.
func isFor(stat string, words []string) bool {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
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
