//go:build !nodefence_socketmode

package server

// socketMode of the API's socket: whoever may write to it is root of the host.
const socketMode = 0o660
