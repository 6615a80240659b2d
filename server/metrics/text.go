// Package metrics writes measurements in the text format of Prometheus
// (version 0.0.4) and counts how long things take. It has no registry and no
// goroutines: who serves a scrape writes what is so at that moment.
package metrics

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ContentType is what Writer writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Writer writes metrics, one after the other. The first error ends it.
type Writer struct {
	w    io.Writer
	name string // of the metric whose samples come
	err  error
}

// NewWriter writes to w, which should have a buffer.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Err is the first error of writing.
func (w *Writer) Err() error { return w.err }

func (w *Writer) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}

// Metric begins a metric. All its samples follow. Kind is counter, gauge or
// histogram.
func (w *Writer) Metric(name, kind, help string) {
	w.name = name
	w.printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// Sample writes one of the metric that was begun. Labels are names and values in
// turn.
func (w *Writer) Sample(value float64, labels ...string) { w.sample("", value, labels) }

func (w *Writer) sample(suffix string, value float64, labels []string) {
	w.printf("%s%s%s %s\n", w.name, suffix, braces(labels), strconv.FormatFloat(value, 'g', -1, 64))
}

// One writes a metric with a single sample.
func (w *Writer) One(name, kind, help string, value float64, labels ...string) {
	w.Metric(name, kind, help)
	w.Sample(value, labels...)
}

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func braces(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	separator := "{"
	for i := 0; i+1 < len(labels); i += 2 {
		b.WriteString(separator + labels[i] + `="` + escape.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")) + `"`)
		separator = ","
	}
	return b.String() + "}"
}
