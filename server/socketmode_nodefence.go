//go:build nodefence_socketmode

package server

const socketMode = 0o666
