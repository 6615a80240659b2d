package compat

import "strings"

// pythonNewest is the version that the newest releases of the Python SDK were
// written for.
var pythonNewest = Version{1, 44}

// NewestFor is the newest version that a client is told of, by its User-Agent.
// The Python SDK, and docker-compose 1, which is built on it, speak whatever is
// the newest, and then miss what later versions have dropped: docker-compose
// fails with KeyError 'ContainerConfig' from 1.45 on, and programs look for
// NetworkSettings.IPAddress. Requests are served in any version as ever.
func NewestFor(client string) Version {
	if isPythonSDK(client) || strings.Contains(client, "docker-py/") {
		return pythonNewest
	}
	return Newest
}

func isPythonSDK(client string) bool { return strings.HasPrefix(client, "docker-sdk-python/") }
