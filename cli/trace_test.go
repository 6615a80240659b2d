package cli

import "testing"

func TestReadTiming(t *testing.T) {
	got := readTiming(`1;desc="resolve and validate";dur=0.021, 2;desc="name, directories";dur=1.500`)
	if want := "resolve and validate 0.021 | name, directories 1.500"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := readTiming(""); got != "this daemon tells no phases" {
		t.Errorf("%q", got)
	}
}
