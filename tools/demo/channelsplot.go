package main

import (
	"fmt"
	"math"
	"strings"
)

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
		times[i], rates[i] = r.median(), r.rate()
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
		bar(&b, "t", labelEdge, y, length(r.median(), times), fmt.Sprintf("%.2f ms", r.median()))
		bar(&b, "r", labelEdge+panel, y, length(r.rate(), rates), fmt.Sprintf("%.0f", r.rate()))
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
