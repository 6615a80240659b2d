// Package opts parses what users write after the flags of the container
// commands: ports, volumes, mounts, devices, sizes, environment files. Every
// value type implements pflag.Value and reports errors in Docker's words, so
// that scripts which match on them keep working. Nothing here talks to a
// daemon.
package opts
