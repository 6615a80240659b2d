package store

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
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

// routine are the beginnings of warnings about what happens all the time: a client
// of a build leaves, an image has a layer that is no file system, a snapshot is
// needed still.
var routine = []string{"healthcheck failed", "no trace recorder found", "encountered unknown type", "failed to remove snapshot"}

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
	level := slog.LevelWarn
	if slices.ContainsFunc(routine, func(start string) bool { return strings.HasPrefix(text, start) }) {
		level = slog.LevelDebug
	}
	log.Log(context.Background(), level, "containerd: "+text, attrs...)
	return len(p), nil
}
