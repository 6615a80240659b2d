// Package api holds what Berth adds to the Engine API: types of requests and
// answers that package github.com/moby/moby/api does not have. docs/api.md
// lists the operations.
package api
