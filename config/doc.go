// Package config holds the daemon's settings: what dockerd's flags and
// daemon.json mean, under the same names wherever the meaning is the same.
//
// Load promises a complete, validated Config or an error that a person can act
// on: unknown flags and keys, values out of range, and a setting given both as a
// flag and in the file are refused, never guessed. It touches nothing on the
// host but the configuration file.
package config
