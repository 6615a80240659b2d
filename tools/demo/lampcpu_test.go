package main

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	before := lampRow{window: window{rate: 100}, processors: processors{allowed: 0.2, web: 0.2, machine: 0.9}}
	for want, now := range map[string]lampRow{
		"2.0 times as fast as before: the servers use what they may (0.4 of 0.4":      {window: window{rate: 200}, processors: processors{0.4, 0.38, 1.2}},
		"1.0 times as fast as before: all 2 processors of the machine are busy, with": {window: window{rate: 98}, processors: processors{1.6, 0.9, 1.9}},
		"1.1 times as fast as before: neither the servers (0.5 of 1.6":                {window: window{rate: 110}, processors: processors{1.6, 0.5, 1.1}},
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
