// Package settings reads the user's client configuration,
// ~/.docker/config.json, and keeps registry credentials in it or in the
// credential helper it names. The file is Docker's and stays so: keys that
// are not ours are preserved when it is written.
package settings
