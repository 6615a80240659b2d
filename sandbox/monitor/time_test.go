package monitor

import (
	"testing"
	"time"
)

// What is written is read again, whatever zone it is of.
func FuzzTimes(f *testing.F) {
	f.Add(int64(1795904180), int64(123456789), 0)
	f.Add(int64(-62135596800), int64(0), 60) // the zero time
	f.Add(int64(0), int64(100), -23*60-59)
	f.Fuzz(func(t *testing.T, seconds, nano int64, zone int) {
		want := time.Unix(seconds, nano).In(time.FixedZone("", zone%(24*60)*60))
		if y := want.Year(); y < 0 || y > 9999 {
			return
		}
		s := want.Format(time.RFC3339Nano)
		if got, err := parseTime(s); err != nil || !got.Equal(want) || got.Format(time.RFC3339Nano) != s {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	})
}

// What is understood means what it means to package time.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2026-11-28T22:16:20Z", "2026-11-28T22:16:20.123456789Z", "0001-01-01T00:00:00Z", "2024-02-29T23:59:59.5+05:30", "2023-02-29T00:00:00Z",
		"2026-11-28T22:16:20-00:00", "2026-13-01T00:00:00Z", "2026-11-28T24:00:00Z", "2026-11-28T22:16:20.Z", "2026-11-28T22:16:20", "",
		"2026-11-28t22:16:20z", "2026-11-28T22:16:20.0000000001Z", "2026-11-28T22:16:20+23:59", "2026-11-00T00:00:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime(s)
		if err != nil {
			return
		}
		if want, err := time.Parse(time.RFC3339Nano, s); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, want %v, %v", s, got, want, err)
		}
	})
}
