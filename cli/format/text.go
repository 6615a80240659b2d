package format

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// ShortID is the first twelve digits of an ID, without its algorithm.
func ShortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return id[:min(len(id), 12)]
}

// Ellipsis shortens text to at most width columns and marks the cut.
func Ellipsis(s string, width int) string {
	if width <= 0 {
		return ""
	}
	total, cut := 0, 0
	for i, r := range s {
		w := runeWidth(r)
		if total+w <= width-1 {
			cut = i + utf8.RuneLen(r)
		}
		total += w
	}
	if total <= width {
		return s
	}
	return s[:cut] + "…"
}

// runeWidth is two for the wide characters of East Asia.
func runeWidth(r rune) int {
	switch {
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf && r != 0x303f,
		r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1f64f,
		r >= 0x1f900 && r <= 0x1f9ff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// ago is the time since a moment in words.
func ago(now time.Time, unix int64) string {
	return units.HumanDuration(now.Sub(time.Unix(unix, 0))) + " ago"
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
