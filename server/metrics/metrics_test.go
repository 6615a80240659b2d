package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestText writes what is hard to write, and reads it with Prometheus's parser.
func TestText(t *testing.T) {
	var b strings.Builder
	w := NewWriter(&b)
	hard := "a\"b\\c\nd\xff"
	w.One("one", "gauge", "a value", 0.5, "name", hard, "other", "")
	w.One("many_total", "counter", "a large one", 1<<60)
	var d Durations
	for _, took := range []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Minute} {
		d.Observe("start", took)
	}
	d.WriteTo(w, "took_seconds", "how long")
	(&Durations{}).WriteTo(w, "none_seconds", "nothing yet")
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got := all["one"].GetMetric()[0]; got.GetGauge().GetValue() != 0.5 || got.GetLabel()[0].GetValue() != "a\"b\\c\nd\uFFFD" {
		t.Errorf("%v", got)
	}
	if got := all["many_total"].GetMetric()[0].GetCounter().GetValue(); got != 1<<60 {
		t.Errorf("%v", got)
	}
	h := all["took_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 3 || h.GetSampleSum() != 60.031 || len(h.GetBucket()) != len(bounds)+1 || h.GetBucket()[0].GetCumulativeCount() != 1 || h.GetBucket()[3].GetCumulativeCount() != 2 {
		t.Errorf("%v", h)
	}
	if len(all) != 3 {
		t.Errorf("%d metrics", len(all))
	}
}
