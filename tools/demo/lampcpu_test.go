package main

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	before := lampRow{Took: make([]float64, 100), Seconds: 1, Allowed: 0.2, Web: 0.2, Machine: 0.9}
	for want, now := range map[string]lampRow{
		"2.0 times as fast as before: the servers use what they may (0.4 of 0.4":      {Took: make([]float64, 200), Seconds: 1, Allowed: 0.4, Web: 0.38, Machine: 1.2},
		"1.0 times as fast as before: all 2 processors of the machine are busy, with": {Took: make([]float64, 98), Seconds: 1, Allowed: 1.6, Web: 0.9, Machine: 1.9},
		"1.1 times as fast as before: neither the servers (0.5 of 1.6":                {Took: make([]float64, 110), Seconds: 1, Allowed: 1.6, Web: 0.5, Machine: 1.1},
	} {
		if got := explain(before, now, 2); !strings.HasPrefix(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestBusy(t *testing.T) {
	since, err := watch()
	if err != nil {
		t.Fatal(err)
	}
	n, err := since()
	if err != nil || n < 0 || n > 4096 {
		t.Errorf("%v, %v", n, err)
	}
}
