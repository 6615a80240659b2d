// Package health decides whether a container is healthy: it asks at intervals,
// counts failures and keeps the last answers, by Docker's rules. How the
// container is asked, others know.
package health
