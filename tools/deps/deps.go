//go:build deps

package deps

import (
	_ "github.com/miekg/dns"
	_ "github.com/moby/buildkit/control"
	_ "github.com/moby/swarmkit/v2/node"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
	_ "tags.cncf.io/container-device-interface/pkg/cdi"
)
