//go:build deps

// Package deps names the libraries that later parts of Berth build on (build,
// cluster, Compose, Kubernetes, devices), so that go.mod pins one
// set of versions that compile together from the start
// (docs/decisions/0001-library-set.md). Nothing imports it; a line goes when
// its library is used for real.
package deps

import (
	_ "github.com/docker/cli/cli/command"
	_ "github.com/docker/compose/v5/pkg/compose"
	_ "github.com/miekg/dns"
	_ "github.com/moby/buildkit/control"
	_ "github.com/moby/profiles/apparmor"
	_ "github.com/moby/swarmkit/v2/node"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
	_ "tags.cncf.io/container-device-interface/pkg/cdi"
)
