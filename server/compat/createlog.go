package compat

import (
	"maps"

	"github.com/moby/moby/api/types/container"
)

// liftLog gives containers of the Python SDK a json-file where Docker's default
// would be one: containers.run of that SDK reads the output only of containers
// whose driver is json-file or journald, and returns None for any other, though
// all logs can be read. The limits are those of our default, local.
func liftLog(h Host, l *container.LogConfig) {
	if l.Type != "" || h.Log.Type != "local" || !isPythonSDK(h.Client) {
		return
	}
	l.Type = "json-file"
	given := l.Config
	l.Config = map[string]string{"max-size": "20m", "max-file": "3", "compress": "true"}
	maps.Copy(l.Config, h.Log.Config)
	maps.Copy(l.Config, given)
}
