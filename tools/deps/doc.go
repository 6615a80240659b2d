// Package deps names the libraries that later parts of Berth build on (build,
// cluster, Compose, Kubernetes, devices), so that go.mod pins one set of
// versions that compile together from the start
// (docs/decisions/0001-library-set.md). Nothing imports it; a line goes when
// its library is used for real.
package deps
