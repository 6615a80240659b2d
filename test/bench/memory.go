package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pss is the proportional set size of one process in MB (proc(5), smaps_rollup).
func pss(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); f[0] == "Pss:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no Pss in smaps_rollup", pid)
}

// enginePSS is the memory of all of Berth's processes but the Hub and bench.
func enginePSS() (float64, error) { return pssOf(ofEngine) }

// helpersPSS is the memory of those that are there because containers are: not of
// the daemon, which takes memory for what it is asked and gives it back later.
func helpersPSS() (float64, error) {
	return pssOf(func(program string) bool { return ofEngine(program) && program != "berthd" })
}

// pssOf is the memory of all processes that counts tells of.
func pssOf(counts func(program string) bool) (float64, error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, name := range names {
		args, err := os.ReadFile(name)
		first, _, _ := strings.Cut(string(args), "\x00")
		program := filepath.Base(first)
		if err != nil || !counts(program) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return 0, err
		}
		mb, err := pss(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		sum += mb
	}
	return sum, nil
}
