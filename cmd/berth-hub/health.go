package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// patience is how long database and storage may take to answer a probe.
const patience = 5 * time.Second

// ready answers 200 when requests can be served: database and storage answer,
// and the Hub was not told to end.
func (h *hub) ready(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	err := h.check(ctx)
	if err == nil {
		fmt.Fprintln(w, "ready")
		return
	}
	// What it is, is for the log: it may name hosts and paths.
	slog.WarnContext(req.Context(), "not ready", "error", err)
	http.Error(w, "not ready", http.StatusServiceUnavailable)
}

func (h *hub) check(ctx context.Context) error {
	if h.ending.Load() {
		return errors.New("the Hub is ending")
	}
	if err := h.db.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	_, err := h.registry.Driver().List(ctx, "/")
	var empty driver.PathNotFoundError
	if err != nil && !errors.As(err, &empty) {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

// only lets the machine itself and administrators of the Hub through.
func (h *hub) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if h.proxies.Local(req) {
			next.ServeHTTP(w, req)
			return
		}
		who, err := h.tokens.Identify(req.Context(), req.Header.Get("Authorization"))
		admin := false
		if err == nil && !who.Bounded {
			admin, err = account.IsAdmin(req.Context(), h.db, who.Principal)
		}
		if err != nil || !admin {
			w.Header().Set("WWW-Authenticate", `Basic realm="Berth Hub"`)
			http.Error(w, "for administrators of the Hub", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// meters are what /metrics shows.
type meters struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	running  prometheus.Gauge
	events   *prometheus.CounterVec
}

func newMeters() *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_hub_requests_total", Help: "Requests answered."}, []string{"part", "method", "status"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "berth_hub_request_seconds", Help: "How long requests took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9)}, []string{"part", "method"}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_hub_requests_running", Help: "Requests under way."}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_hub_events_total", Help: "Pushes, pulls, deletions and mounts."}, []string{"action"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.running, m.events, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *meters) event(_ context.Context, e registry.Event) { m.events.WithLabelValues(e.Action).Inc() }

// parts are the labels that requests are counted under; what strangers ask for
// makes no further ones.
var parts = []string{"v1", "v2", "token", "api", "hooks", "git", "healthz", "readyz", "metrics"}

func partOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, part := range parts {
		if first == part {
			return part
		}
	}
	return "pages"
}

func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// count counts requests.
func (m *meters) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		part, method := partOf(req.URL.Path), methodOf(req.Method)
		m.running.Inc()
		counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			m.running.Dec()
			m.requests.WithLabelValues(part, method, strconv.Itoa(counted.status)).Inc()
			m.seconds.WithLabelValues(part, method).Observe(time.Since(start).Seconds())
		}()
		next.ServeHTTP(counted, req)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
