package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestInterval(t *testing.T) {
	var ref, same, slower []float64
	for i := range 40 {
		base := 10 + float64(i*7%13)/10 // the machine's noise, which falls on both
		ref = append(ref, base)
		same = append(same, base+float64(i%3-1)/20)
		slower = append(slower, base*1.2)
	}
	if ratio, low, high := interval(ref, same); low > 1 || high < 1 || ratio < low || ratio > high {
		t.Errorf("the same: %v in %v-%v", ratio, low, high)
	}
	if ratio, low, high := interval(ref, slower); low < 1.1 || high > 1.3 || ratio < 1.19 || ratio > 1.21 {
		t.Errorf("a fifth slower: %v in %v-%v", ratio, low, high)
	}
	r := &report{Cases: []*result{{Name: "a", Unit: "ms", Samples: map[string][]float64{"x": ref, now: slower}}}}
	for threshold, want := range map[float64]error{1.05: errSlower, 1.5: nil} {
		var out bytes.Buffer
		if err := r.compare(&out, compareOptions{ref: "x", threshold: threshold}); !errors.Is(err, want) || (want != nil) != strings.Contains(out.String(), "SLOWER") {
			t.Errorf("threshold %v: %v\n%s", threshold, err, &out)
		}
	}
	r.Cases[0].Unit = "/s"
	var out bytes.Buffer
	if err := r.compare(&out, compareOptions{ref: "x", threshold: 1.05}); err != nil || !strings.Contains(out.String(), "faster") {
		t.Errorf("a fifth more in a second: %v\n%s", err, &out)
	}
}

func TestInTurns(t *testing.T) {
	order := ""
	err := inTurns(2, func(i int) (string, float64, error) {
		order += string(rune('a' + i))
		return "", 0, nil
	}, func(string, float64) { order += "+" })
	if err != nil || order != "ab"+"b+a+"+"a+b+" {
		t.Errorf("%q, %v", order, err)
	}
}
