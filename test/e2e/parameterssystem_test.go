package e2e

var volumeParameters = []parameter{
	{of: "GET /volumes filters", without: "/volumes", with: `/volumes?filters={"dangling":["true"]}`, want: `!"used"`},
	{of: "POST /volumes/create body Name", without: `/volumes/create {}`, with: `/volumes/create {"Name": "walkvol"}`, want: "walkvol"},
	{of: "POST /volumes/create body Driver", without: `/volumes/create {"Name": "walkvol"}`, with: `/volumes/create {"Name": "walkvol", "Driver": "nobody"}`, want: "error looking up volume plugin nobody"},
	{of: "POST /volumes/create body DriverOpts", without: `/volumes/create {"Name": "walkvol"}`, with: `/volumes/create {"Name": "walkvol", "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}}`, look: "berth volume inspect walkvol", want: "tmpfs"},
	{of: "POST /volumes/create body Labels", without: `/volumes/create {"Name": "walkvol"}`, with: `/volumes/create {"Name": "walkvol", "Labels": {"walked": "yes"}}`, look: "berth volume inspect walkvol", want: "walked"},
	{of: "POST /volumes/create body ClusterVolumeSpec", without: `/volumes/create {"Name": "walkvol"}`, with: `/volumes/create {"Name": "walkvol", "ClusterVolumeSpec": {}}`, want: "This node is not a swarm manager"},
	{of: "DELETE /volumes/{name} force", without: "/volumes/nobody", with: "/volumes/nobody?force=1", want: "204"},
	{of: "POST /volumes/prune filters", before: "berth volume create walkvol", without: "/volumes/prune", with: `/volumes/prune?filters={"all":["true"]}`, want: "walkvol"},
}

var systemParameters = []parameter{
	{of: "GET /events since", without: "/events?until=1", with: "/events?since=1&until=4000000000", lines: 1, want: `"Action"`},
	{of: "GET /events until", without: "/events?since=1&until=2", with: "/events?since=1&until=4000000000", lines: 1, want: `"Action"`},
	{of: "GET /events filters", without: "/events?since=1&until=4000000000", with: `/events?since=1&until=4000000000&filters={"type":["volume"]}`, lines: 1, want: `"Type":"volume"`},
	{of: "GET /system/df type", without: "/system/df", with: "/system/df?type=volume", want: `!"ContainerUsage"`},
	{of: "GET /system/df verbose", without: "/system/df", with: "/system/df?verbose=1", want: `"Items":[{`},
	{of: "GET /plugins filters", without: "/plugins", with: `/plugins?filters={"nope":["1"]}`, want: "400"},
	{of: "POST /auth body username", without: `/auth {"serveraddress": "GUARD", "password": "right"}`, with: `/auth {"serveraddress": "GUARD", "password": "right", "username": "walker"}`, want: "Login Succeeded"},
	{of: "POST /auth body password", without: `/auth {"serveraddress": "GUARD", "username": "walker"}`, with: `/auth {"serveraddress": "GUARD", "username": "walker", "password": "right"}`, want: "Login Succeeded"},
	{of: "POST /auth body serveraddress", without: `/auth {"serveraddress": "HUB"}`, with: `/auth {"serveraddress": "127.0.0.1:1"}`, want: "127.0.0.1:1"},
}
