package server

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/server/metrics"
)

// actions are the operations whose duration is measured, by the names that
// Docker gives them.
var actions = map[string]struct{ kind, action string }{
	"GET /containers/{id}/changes":   {"container", "changes"},
	"POST /commit":                   {"container", "commit"},
	"POST /containers/create":        {"container", "create"},
	"DELETE /containers/{id}":        {"container", "delete"},
	"POST /containers/{id}/start":    {"container", "start"},
	"DELETE /images/{name}":          {"image", "delete"},
	"POST /networks/{id}/connect":    {"network", "connect"},
	"POST /networks/{id}/disconnect": {"network", "disconnect"},
}

// measured counts how long actions take.
type measured struct{ container, image, network metrics.Durations }

// observe counts an operation that was done.
func (m *measured) observe(op *operation, took time.Duration) {
	a, ok := actions[op.method+" "+op.path]
	if !ok {
		return
	}
	switch a.kind {
	case "container":
		m.container.Observe(a.action, took)
	case "image":
		m.image.Observe(a.action, took)
	case "network":
		m.network.Observe(a.action, took)
	}
}

// ServeMetrics answers GET /metrics on a listener until ctx ends. Whoever
// reaches the listener may read: names, images and what containers use.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		err := s.checkScraper(r)
		if err == nil {
			err = s.writeMetrics(w, r)
		}
		if err != nil {
			s.log.Warn("metrics are not told", "error", err)
			writeError(w, err)
		}
	})
	hs := &http.Server{
		Handler: mux, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute, ConnContext: withConn,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = hs.Close() })
	defer stop()
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// checkScraper refuses what a browser would ask on behalf of a foreign page over
// loopback. From elsewhere, machines ask by any name of this one.
func (s *Server) checkScraper(r *http.Request) error {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		if addr, ok := c.LocalAddr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
			return nil
		}
	}
	return s.checkOrigin(r)
}

// writeMetrics measures before it answers: what fails has a status.
func (s *Server) writeMetrics(rw http.ResponseWriter, r *http.Request) error {
	list, err := s.o.Containers.Measure(r.Context())
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", metrics.ContentType)
	out := bufio.NewWriterSize(rw, 32<<10)
	w := metrics.NewWriter(out)
	s.engineMetrics(w)
	containerMetrics(w, list)
	if w.Err() == nil {
		_ = out.Flush() // the client went away
	}
	return nil
}

// engineMetrics has Docker's names.
func (s *Server) engineMetrics(w *metrics.Writer) {
	a, host := s.o.About, readHost(s.o.About.CgroupVersion)
	w.One("engine_daemon_engine_info", "gauge", "The engine and the machine it runs on", 1,
		"architecture", host.machine, "commit", a.GitCommit, "daemon_id", a.ID, "graphdriver", storageDriver, "kernel", kernelVersion(),
		"os", host.osName, "os_type", runtime.GOOS, "os_version", host.osVersion, "version", a.Version)
	w.One("engine_daemon_engine_cpus_cpus", "gauge", "The number of processors of the machine", float64(runtime.NumCPU()))
	w.One("engine_daemon_engine_memory_bytes", "gauge", "The bytes of memory of the machine", float64(host.memTotal))
	running, paused, stopped := s.o.Containers.Counts()
	w.Metric("engine_daemon_container_states_containers", "gauge", "The number of containers in each state")
	w.Sample(float64(paused), "state", "paused")
	w.Sample(float64(running), "state", "running")
	w.Sample(float64(stopped), "state", "stopped")
	made, failed := s.o.Containers.HealthChecks()
	w.One("engine_daemon_health_checks_total", "counter", "The checks of health so far", float64(made))
	w.One("engine_daemon_health_checks_failed_total", "counter", "The checks of health that failed", float64(failed))
	w.One("engine_daemon_events_total", "counter", "The events so far", float64(s.o.Events.Published()))
	w.One("engine_daemon_events_subscribers_total", "gauge", "The clients that events are sent to", float64(s.o.Events.Subscribers()))
	const help = "The seconds that it took to do it, for each kind of action"
	s.measured.container.WriteTo(w, "engine_daemon_container_actions_seconds", help)
	s.measured.image.WriteTo(w, "engine_daemon_image_actions_seconds", help)
	s.measured.network.WriteTo(w, "engine_daemon_network_actions_seconds", help)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	w.One("go_goroutines", "gauge", "Goroutines of the daemon", float64(runtime.NumGoroutine()))
	w.One("go_memstats_alloc_bytes", "gauge", "Bytes in use on the daemon's heap", float64(memory.Alloc))
	w.One("process_open_fds", "gauge", "File descriptors of the daemon", float64(openFiles()))
}

// containerMetrics are Berth's own: what each container is and uses.
func containerMetrics(w *metrics.Writer, list []engine.Measured) {
	each := func(name, kind, help string, sample func(m *engine.Measured, labels []string)) {
		w.Metric("berth_container_"+name, kind, help)
		for i := range list {
			sample(&list[i], []string{"id", list[i].ID, "name", list[i].Name})
		}
	}
	// used is each for those that run.
	used := func(name, kind, help string, value func(u *container.StatsResponse) float64) {
		each(name, kind, help, func(m *engine.Measured, labels []string) {
			if m.Usage != nil {
				w.Sample(value(m.Usage), labels...)
			}
		})
	}
	each("info", "gauge", "Image and state of a container", func(m *engine.Measured, labels []string) {
		w.Sample(1, append(labels, "image", m.Image, "state", string(m.State))...)
	})
	each("health", "gauge", "1 for the present state of a container's health", func(m *engine.Measured, labels []string) {
		if m.Health != container.NoHealthcheck {
			w.Sample(1, append(labels, "status", string(m.Health))...)
		}
	})
	each("restarts_total", "counter", "Restarts by the policy since a user started it", func(m *engine.Measured, labels []string) {
		w.Sample(float64(m.Restarts), labels...)
	})
	each("start_time_seconds", "gauge", "When it was started last, since 1970", func(m *engine.Measured, labels []string) {
		if !m.StartedAt.IsZero() {
			w.Sample(float64(m.StartedAt.UnixMilli())/1000, labels...)
		}
	})
	used("cpu_seconds_total", "counter", "Seconds of a processor that it used", func(u *container.StatsResponse) float64 {
		return float64(u.CPUStats.CPUUsage.TotalUsage) / float64(time.Second)
	})
	used("memory_usage_bytes", "gauge", "Memory in use, with the cache", func(u *container.StatsResponse) float64 {
		return float64(u.MemoryStats.Usage)
	})
	used("memory_limit_bytes", "gauge", "Memory that it may use", func(u *container.StatsResponse) float64 {
		return float64(u.MemoryStats.Limit)
	})
	used("pids", "gauge", "Processes and threads", func(u *container.StatsResponse) float64 { return float64(u.PidsStats.Current) })
	used("network_receive_bytes_total", "counter", "Bytes that came in by its interfaces", func(u *container.StatsResponse) float64 {
		in, _ := traffic(u)
		return in
	})
	used("network_transmit_bytes_total", "counter", "Bytes that left by its interfaces", func(u *container.StatsResponse) float64 {
		_, out := traffic(u)
		return out
	})
}

// traffic sums over interfaces.
func traffic(u *container.StatsResponse) (in, out float64) {
	for _, n := range u.Networks {
		in, out = in+float64(n.RxBytes), out+float64(n.TxBytes)
	}
	return in, out
}
