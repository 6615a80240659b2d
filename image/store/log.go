package store

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"sync"

	containerdlog "github.com/containerd/log"
)

var logTarget struct {
	sync.Mutex
	log   *slog.Logger
	ready bool
}

// forwardLogs sends the warnings that the containerd packages write with their
// own logger, which is one per process, to log.
func forwardLogs(log *slog.Logger) {
	logTarget.Lock()
	defer logTarget.Unlock()
	logTarget.log = log
	if logTarget.ready {
		return
	}
	logTarget.ready = true
	if containerdlog.SetFormat(containerdlog.JSONFormat) != nil || containerdlog.SetLevel("warn") != nil {
		containerdlog.L.Logger.SetOutput(io.Discard)
		return
	}
	containerdlog.L.Logger.SetOutput(logWriter{})
}

type logWriter struct{}

func (logWriter) Write(p []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(p), &line); err != nil {
		return len(p), nil //nolint:nilerr // a line that is not JSON is dropped: a logger has nobody to tell
	}
	text, _ := line["msg"].(string)
	var attrs []any
	for k, v := range line {
		if k != "msg" && k != "time" && k != "level" {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	logTarget.Lock()
	log := logTarget.log
	logTarget.Unlock()
	log.Warn("containerd: "+text, attrs...)
	return len(p), nil
}
