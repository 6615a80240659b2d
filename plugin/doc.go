// Package plugin speaks Docker's plugin protocol: it finds plugins by their
// sockets and spec files, activates them, and calls them (HTTP POST with JSON,
// docs.docker.com/engine/extend/plugin_api).
//
// Plugins are the administrator's: one is only looked for in directories that
// nobody but root can write to, and by a name that is one element of a path. A
// plugin is asked what it implements once, when it is first used. It may be
// restarted at any time; a call waits as long as its context allows for a plugin
// that does not listen. What it answers is bounded.
//
// The package knows the protocol, not its use: volume drivers are in volume,
// authorisation is in server, network drivers are in network.
package plugin
