package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/event"
)

// TestMetrics scrapes a server as Prometheus does.
func TestMetrics(t *testing.T) {
	usage := &container.StatsResponse{Networks: map[string]container.NetworkStats{"eth0": {RxBytes: 5, TxBytes: 6}, "eth1": {RxBytes: 7}}}
	usage.CPUStats.CPUUsage.TotalUsage = uint64(1500 * time.Millisecond)
	usage.MemoryStats.Usage = 1 << 20
	fake := &fakeContainers{measured: []engine.Measured{
		{ID: "1", Name: "web", Image: "nginx", State: container.StateRunning, Health: container.Healthy, Restarts: 3, StartedAt: time.Unix(100, 0), Usage: usage},
		{ID: "2", Name: "job", Image: "busybox", State: container.StateExited, Health: container.NoHealthcheck},
	}}
	bus := event.New(0, nil)
	defer bus.Close()
	s := New(Options{Containers: fake, Events: bus, About: About{Version: "1.2", ID: "me"}})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ServeMetrics(ctx, l) }()
	get := func(host, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	s.measured.observe(&operation{method: "POST", path: "/containers/{id}/start"}, time.Millisecond)
	code, text := get("", "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if code != http.StatusOK || err != nil {
		t.Fatalf("%d %v\n%s", code, err, text)
	}
	for name, want := range map[string]float64{
		"engine_daemon_health_checks_total": 7, "engine_daemon_health_checks_failed_total": 2, "engine_daemon_engine_info": 1,
		"berth_container_cpu_seconds_total": 1.5, "berth_container_memory_usage_bytes": 1 << 20, "berth_container_restarts_total": 3,
		"berth_container_network_receive_bytes_total": 12, "berth_container_network_transmit_bytes_total": 6, "berth_container_health": 1,
		"berth_container_start_time_seconds": 100,
	} {
		m := all[name].GetMetric()
		if len(m) == 0 || m[0].GetCounter().GetValue()+m[0].GetGauge().GetValue() != want {
			t.Errorf("%s: %v, want %v", name, m, want)
		}
	}
	if n := all["engine_daemon_container_actions_seconds"].GetMetric()[0].GetHistogram().GetSampleCount(); n != 1 {
		t.Errorf("%d starts", n)
	}
	if len(all["berth_container_info"].GetMetric()) != 2 || len(all["berth_container_pids"].GetMetric()) != 1 {
		t.Errorf("%s", text)
	}
	if code, _ := get("evil.example", "/metrics"); code != http.StatusForbidden {
		t.Errorf("a foreign name: %d", code)
	}
	if code, _ := get("", "/containers/json"); code != http.StatusNotFound {
		t.Errorf("the API is there: %d", code)
	}
	fake.err = context.DeadlineExceeded
	if code, text := get("", "/metrics"); code != http.StatusInternalServerError || !strings.Contains(text, "deadline") {
		t.Errorf("an error: %d %s", code, text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
