// Package driver hands lines of containers' logs to others: files in Docker's
// form, syslog, journald, Fluentd, GELF. The names, options and what is sent are
// Docker's.
//
// A driver is a plain writer. It may block and it may fail; package ship stands
// between it and the container, which only ever writes to the engine's own log.
package driver
