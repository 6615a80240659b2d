package container

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/logs/driver"
)

// LogDrivers are the drivers that write somewhere, as /info lists them.
func LogDrivers() []string {
	return slices.DeleteFunc(driver.Names(), func(name string) bool { return name == "none" })
}

// logLimits reads the size in bytes of one file of the engine's own log and the
// number of files; 0 means the sandbox's default. With another driver than
// local, the own log is what `logs` reads, and cache-… are its limits.
func logLimits(l *container.LogConfig) (size int64, files int, err error) {
	sizeKey, filesKey := "max-size", "max-file"
	if l.Type != logLocal {
		sizeKey, filesKey = "cache-max-size", "cache-max-file"
	}
	if v := l.Config[sizeKey]; v != "" && v != "-1" {
		if size, err = units.RAMInBytes(v); err != nil || size <= 0 {
			return 0, 0, invalid("invalid value for %s: %s", sizeKey, v)
		}
	}
	if v := l.Config[filesKey]; v != "" {
		if files, err = strconv.Atoi(v); err != nil || files < 1 {
			return 0, 0, invalid("%s cannot be less than 1", filesKey)
		}
	}
	return size, files, nil
}

// withLogDefaults fills in the engine's driver, and its options where that
// driver is used, beneath those that the request has.
func withLogDefaults(asked, def container.LogConfig) container.LogConfig {
	def.Type = cmp.Or(def.Type, logLocal)
	out := container.LogConfig{Type: cmp.Or(asked.Type, def.Type), Config: map[string]string{}}
	if out.Type == def.Type {
		maps.Copy(out.Config, def.Config)
	}
	maps.Copy(out.Config, asked.Config)
	return out
}

// packsLog tells whether finished segments of the log are compressed.
func packsLog(l *container.LogConfig) bool {
	key := "compress"
	if l.Type != logLocal {
		key = "cache-compress"
	}
	on, err := strconv.ParseBool(l.Config[key])
	return on || err != nil // the default is yes
}

// readsLog tells whether `logs` has something to read.
func readsLog(l *container.LogConfig) bool {
	off, _ := strconv.ParseBool(l.Config["cache-disabled"]) // checked when the container was created
	return l.Type != logNone && !off
}

// logInfo is the container as log drivers see it.
func (s *Service) logInfo(r *Record) *driver.Info {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &driver.Info{
		ID: r.ID, Name: r.Name, ImageID: r.Image.ID.String(), ImageName: r.Config.Image, Created: r.Created,
		Command: strings.Join(slices.Concat(r.Config.Entrypoint, r.Config.Cmd), " "),
		Labels:  r.Config.Labels, Env: r.Config.Env, Options: r.HostConfig.LogConfig.Config, Hostname: host, Dir: s.records.dir(r.ID),
	}
}

// logPath is what inspect shows: the file that Docker's readers expect, or the
// directory of the engine's own log.
func (s *Service) logPath(r *Record) string {
	dir := s.records.dir(r.ID)
	switch r.HostConfig.LogConfig.Type {
	case logNone:
		return ""
	case "json-file":
		return driver.JSONPath(dir, r.ID)
	}
	return filepath.Join(dir, logDir)
}

func initLogError(err error) error {
	return fmt.Errorf("failed to create task for container: failed to initialize logging driver: %w", err)
}
