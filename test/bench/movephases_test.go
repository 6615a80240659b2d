package main

import (
	"os"
	"testing"
	"time"
)

// TestBuildParts: the parts of a build follow one another, whatever overlaps, and
// add up to all of it.
func TestBuildParts(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const progress = `not of it
{"vertexes":[{"digest":"a","name":"[internal] load","started":"2026-01-02T03:04:05.01Z"}]}
{"vertexes":[{"digest":"a","name":"[internal] load","started":"2026-01-02T03:04:05.01Z","completed":"2026-01-02T03:04:05.03Z"},
"broken over lines"]}
`
	if _, err := buildParts([]byte(progress), began, began); err == nil {
		t.Error("half of an object was taken")
	}
	const whole = `{"vertexes":[{"digest":"a","name":"load x@sha256:abc","started":"2026-01-02T03:04:05.01Z"}]}
{"vertexes":[{"digest":"a","name":"load x@sha256:abc","started":"2026-01-02T03:04:05.01Z","completed":"2026-01-02T03:04:05.03Z"}]}
{"vertexes":[{"digest":"b","name":"cached","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.04Z","cached":true}]}
{"vertexes":[{"digest":"c","name":"exporting to image","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.06Z"}],
"statuses":[]}
`
	if _, err := buildParts([]byte(whole), began, began); err == nil {
		t.Error("an object over two lines was taken")
	}
	const good = `{"vertexes":[{"digest":"a","name":"load x@sha256:abc","started":"2026-01-02T03:04:05.01Z","completed":"2026-01-02T03:04:05.03Z"}]}
{"vertexes":[{"digest":"b","name":"cached","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.04Z","cached":true}]}
{"statuses":[{"id":"exporting layers","vertex":"c","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.05Z"}]}
{"statuses":[{"id":"sha256:abc","vertex":"c","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.055Z"}]}
{"vertexes":[{"digest":"c","name":"exporting to image | it","started":"2026-01-02T03:04:05.03Z","completed":"2026-01-02T03:04:05.06Z"}]}
`
	ended := began.Add(100 * time.Millisecond)
	got, err := buildParts([]byte(good), began, ended)
	if err != nil {
		t.Fatal(err)
	}
	want := []buildPart{
		{"the client starts, its session begins", 10 * time.Millisecond}, {"load x", 20 * time.Millisecond},
		{"exporting layers", 20 * time.Millisecond}, {"exporting to image", 10 * time.Millisecond},
		{"the record of the build, the client ends", 40 * time.Millisecond},
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	if _, err := buildParts(nil, began, ended); err == nil {
		t.Error("a build of no steps")
	}
}

func TestProcessParts(t *testing.T) {
	for end := time.Now().Add(10 * time.Second); ; {
		programs, _, err := processParts(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if programs > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing is used while this runs")
		}
	}
	if _, _, err := processParts(1 << 30); err == nil {
		t.Error("a process that there is not")
	}
}
