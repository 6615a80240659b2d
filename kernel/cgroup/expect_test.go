package cgroup

import (
	"os"
	"testing"
)

// TestExpect: the process that readies the kernel stays where it is, with all of
// its threads.
func TestExpect(t *testing.T) {
	where := func() string {
		text, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := where()
	for range 3 {
		if err := Expect(); err != nil {
			t.Fatal(err)
		}
	}
	if after := where(); after != before {
		t.Errorf("it was in\n%s\nand is in\n%s", before, after)
	}
}
