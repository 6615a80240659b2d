package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
)

const (
	channelsPage    = "docs/channels.md"
	channelsPicture = "docs/channels.svg"
	measuredBegin   = "<!-- measured: make demo-channels DEMOARGS=-plot -->\n"
	measuredEnd     = "<!-- end -->\n"
)

// writePage puts the results into the page and draws its picture.
func writePage(results []channelResult) error {
	page, err := os.ReadFile(channelsPage)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(page, []byte(measuredBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(measuredEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the place for results", channelsPage)
	}
	text := fmt.Sprintf("%s%s```\n%s```\n%s%s", before, measuredBegin, channelsTable(results), measuredEnd, after)
	return errors.Join(
		os.WriteFile(channelsPage, []byte(text), 0o644),                //nolint:gosec // a page
		os.WriteFile(channelsPicture, []byte(drawing(results)), 0o644), //nolint:gosec // a picture
	)
}

const (
	rowHeight = 26
	labelEdge = 110 // where bars begin
	barWidth  = 250
	panel     = barWidth + 90 // a bar and its number
)

// drawing has two bars for each channel, both on logarithmic scales: the time of
// a round trip, where short is good, and messages a second, where long is.
func drawing(results []channelResult) string {
	times, rates := make([]float64, len(results)), make([]float64, len(results))
	for i, r := range results {
		times[i], rates[i] = r.Median, r.Rate
	}
	var b strings.Builder
	height := 44 + rowHeight*len(results) + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Round trip and messages a second by channel">`+"\n",
		labelEdge+2*panel, height)
	b.WriteString(`<style>text{font:13px sans-serif;fill:#1f2328}.t{fill:#bc4c00}.r{fill:#0969da}` +
		`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.t{fill:#f0883e}.r{fill:#4493f8}}</style>` + "\n")
	fmt.Fprintf(&b, `<text x="%d" y="24">round trip over five services (shorter is better)</text>`+"\n", labelEdge)
	fmt.Fprintf(&b, `<text x="%d" y="24">messages a second (longer is better)</text>`+"\n", labelEdge+panel)
	for i, r := range results {
		y := 40 + rowHeight*i
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelEdge-8, y+15, r.Channel)
		bar(&b, "t", labelEdge, y, length(r.Median, times), fmt.Sprintf("%.2f ms", r.Median))
		bar(&b, "r", labelEdge+panel, y, length(r.Rate, rates), fmt.Sprintf("%.0f", r.Rate))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func bar(b *strings.Builder, class string, x, y int, width float64, label string) {
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="18" rx="2"/><text x="%.1f" y="%d">%s</text>`+"\n",
		class, x, y+1, width, float64(x)+width+6, y+15, label)
}

// length is a bar's, from a tenth for the smallest of all to the whole.
func length(v float64, all []float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range all {
		low, high = min(low, x), max(high, x)
	}
	if low <= 0 || low == high {
		return barWidth
	}
	return barWidth * (0.1 + 0.9*math.Log(v/low)/math.Log(high/low))
}
