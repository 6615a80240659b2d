package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestDrawing: a picture that is well formed, with a bar for each number, the
// best of which is the longest or the shortest.
func TestDrawing(t *testing.T) {
	text := drawing([]channelResult{{Channel: "tcp", Trips: []float64{9, 0.5, 0.1}, Many: 3000, Took: 1500}, {Channel: "files-poll", Trips: []float64{20}, Many: 10, Took: 100}})
	bars, d := 0, xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 4 || !strings.Contains(text, ">0.50 ms<") || !strings.Contains(text, ">2000<") {
		t.Errorf("%d bars\n%s", bars, text)
	}
	if a, b := length(1, []float64{1, 10}), length(10, []float64{1, 10}); a != barWidth*0.1 || b != barWidth {
		t.Errorf("lengths %v, %v", a, b)
	}
}

// TestChannelPromises: what each channel may do to messages, and what not.
func TestChannelPromises(t *testing.T) {
	for _, c := range []struct {
		r  channelResult
		ok bool
	}{
		{channelResult{Channel: "tcp", Sent: 1}, true},
		{channelResult{Channel: "tcp", Sent: 1, Lost: 1}, false},
		{channelResult{Channel: "database", Sent: 1, Doubled: 1}, false},
		{channelResult{Channel: "mqtt-0", Sent: 1, Lost: 1}, true},
		{channelResult{Channel: "mqtt-0", Sent: 1, Doubled: 1}, false},
		{channelResult{Channel: "mqtt-1", Sent: 1, Doubled: 1}, true},
		{channelResult{Channel: "mqtt-1", Sent: 1, Lost: 1}, false},
		{channelResult{Channel: "mqtt-2", Sent: 1, Doubled: 1}, false},
		{channelResult{Channel: "tcp"}, false},
	} {
		if err := c.r.check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}
