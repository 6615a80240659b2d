package task

import (
	"os"
	"strings"
	"testing"
)

// resident is VmRSS's part of files, in kB, as /proc/self/status has it.
func resident(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "Pss_File:"); ok {
			return strings.TrimSpace(kb)
		}
	}
	t.Fatal("this kernel does not tell files from the rest, as Linux 5.3 does")
	return ""
}

func TestForgetProgram(t *testing.T) {
	before := resident(t)
	if err := ForgetProgram(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t); len(after) > len(before) || len(after) == len(before) && after >= before {
		t.Errorf("%s before, %s after", before, after)
	}
	for line, want := range map[string]bool{
		"00400000-00500000 r-xp 00000000 fe:00 12                     /usr/bin/x":  true,
		"00500000-00600000 r--p 00100000 fe:00 12                     /usr/bin/x":  true,
		"00600000-00700000 rw-p 00200000 fe:00 12                     /usr/bin/x":  false,
		"00600000-00700000 r--s 00200000 fe:00 12                     /usr/bin/x":  false,
		"00600000-00700000 r--p 00200000 fe:00 12                     /usr/bin/xx": false,
		"7f0000000000-7f0000001000 r-xp 00000000 00:00 0              [vdso]":      false,
		"nonsense": false,
	} {
		if _, _, ok := constant(line, "/usr/bin/x"); ok != want {
			t.Errorf("%s: %v", line, ok)
		}
	}
}
