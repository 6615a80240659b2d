// Package cli is the berth command line: one file per verb. A verb turns
// flags into requests of the Engine API, made with moby's Go client, and
// prints the answers in Docker's words, columns and exit codes, so that what
// people and scripts know of `docker` holds. It imports nothing of the engine
// and starts in a few milliseconds; a test holds the list of what it may link.
package cli
