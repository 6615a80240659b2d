// Package compose is Docker's Compose as Berth's own program: the commands and
// flags of `docker compose` under the name of `berth compose`, builds by
// berth-build, and what Berth adds to them. It talks to an engine through its
// API alone, whichever engine that is.
//
// [Run] lasts until the command has ended and leaves nothing behind.
package compose
