package e2e

import "strings"

var networkParameters = []parameter{
	{of: "GET /networks filters", without: "/networks", with: `/networks?filters={"name":["walked"]}`, want: `!"Name":"bridge"`},
	{of: "GET /networks/{id} scope", without: "/networks/walked", with: "/networks/walked?scope=swarm", want: "404"},
	{of: "GET /networks/{id} verbose", without: "/networks/walked", with: "/networks/walked?verbose=perhaps", want: "400"},
	{of: "POST /networks/prune filters", before: "berth network create --label walk=1 walknet", without: `/networks/prune?filters={"label":["walk=1"]}`, with: `/networks/prune?filters={"label":["walk=2"]}`, look: "berth network ls --format name={{.Name}};", want: "name=walknet;"},
	networks("Name", `"Name": "walknet"`, `"Name": "-"`, "", "400"),
	networks("Driver", ``, `"Driver": "nobody"`, "", "nobody"),
	networks("Scope", ``, `"Scope": "swarm"`, "", "This node is not a swarm manager"),
	networks("Internal", ``, `"Internal": true`, "internal={{.Internal}}", "internal=true"),
	networks("Attachable", ``, `"Attachable": true`, "attachable={{.Attachable}}", "attachable=true"),
	networks("Ingress", ``, `"Ingress": true`, "", "This node is not a swarm manager"),
	networks("ConfigOnly", ``, `"ConfigOnly": true`, "config={{.ConfigOnly}} {{.Driver}}", "config=true null"),
	networks("ConfigFrom", ``, `"ConfigFrom": {"Network": "nobody"}`, "", `configuration network \"nobody\" does not exist`, "ConfigFrom.Network"),
	networks("IPAM", ``, `"IPAM": {"Driver": "nobody"}`, "", "plugin nobody", "IPAM.Driver"),
	networks("IPAM.Config", ``, `"IPAM": {"Config": [{"Subnet": "10.77.1.0/24"}]}`, "{{.IPAM.Config}}", "10.77.1.0/24", "IPAM.Config.Subnet"),
	networks("IPAM.Config.Gateway", ``, `"IPAM": {"Config": [{"Subnet": "10.77.1.0/24", "Gateway": "10.77.1.77"}]}`, "{{.IPAM.Config}}", "10.77.1.77"),
	networks("IPAM.Config.IPRange", ``, `"IPAM": {"Config": [{"Subnet": "10.77.1.0/24", "IPRange": "10.77.1.128/25"}]}`, "{{.IPAM.Config}}", "10.77.1.128/25"),
	networks("IPAM.Config.AuxiliaryAddresses", ``, `"IPAM": {"Config": [{"Subnet": "10.77.1.0/24", "AuxiliaryAddresses": {"a": "10.77.1.9"}}]}`, "{{.IPAM.Config}}", "10.77.1.9"),
	networks("IPAM.Options", ``, `"IPAM": {"Options": {"walked": "yes"}}`, "", "the default IPAM driver has none"), // a plugin's: TestRemoteIPAM
	networks("EnableIPv4", ``, `"EnableIPv4": false, "EnableIPv6": true`, "v4={{.EnableIPv4}}", "v4=false"),
	networks("EnableIPv6", ``, `"EnableIPv6": true`, "v6={{.EnableIPv6}}", "v6=true"),
	networks("Options", ``, `"Options": {"com.docker.network.bridge.name": "walkbr"}`, "{{.Options}}", "walkbr"),
	networks("Labels", ``, `"Labels": {"walked": "yes"}`, "{{.Labels}}", "walked"),

	{of: "POST /networks/{id}/disconnect body Container", before: runX + "--network walked busybox sleep 1000", without: `/networks/walked/disconnect {"Container": "runs"}`, with: `/networks/walked/disconnect {"Container": "xx"}`, want: "200"},
}

// networks is the row of a member of the request to make a network. Without shown
// the answer is looked at.
func networks(member, without, with, shown, want string, inner ...string) parameter {
	const path = "POST /networks/create body "
	body := func(set string) string {
		parts := []string{`"Name": "walknet"`}
		if strings.HasPrefix(set, `"Name"`) {
			parts = nil
		}
		if set != "" {
			parts = append(parts, set)
		}
		return "/networks/create {" + strings.Join(parts, ", ") + "}"
	}
	p := parameter{of: path + member, without: body(without), with: body(with), want: want}
	if shown != "" {
		p.look = "berth network inspect -f '" + shown + "' walknet"
	}
	for _, name := range inner {
		p.also = append(p.also, path+name)
	}
	return p
}

var endpointParameters = []parameter{
	connects("Container", ``, "", "404"),
	connects("EndpointConfig", `"Aliases": ["walked"]`, "{{.NetworkSettings.Networks.walknet.Aliases}}", "walked", "EndpointConfig.Aliases"),
	connects("EndpointConfig.IPAMConfig", `"IPAMConfig": {"IPv4Address": "10.77.2.77"}`, "{{.NetworkSettings.Networks.walknet.IPAddress}}", "10.77.2.77", "EndpointConfig.IPAMConfig.IPv4Address"),
	connects("EndpointConfig.IPAMConfig.IPv6Address", `"IPAMConfig": {"IPv6Address": "fd77::77"}`, "{{.NetworkSettings.Networks.walknet.GlobalIPv6Address}}", "fd77::77"),
	connects("EndpointConfig.IPAMConfig.LinkLocalIPs", `"IPAMConfig": {"LinkLocalIPs": ["169.254.7.7"]}`, "{{.NetworkSettings.Networks.walknet.IPAMConfig}}", "169.254.7.7"),
	connects("EndpointConfig.Links", `"Links": ["runs:walked"]`, "{{.NetworkSettings.Networks.walknet.Links}}", "runs:walked"),
	connects("EndpointConfig.MacAddress", `"MacAddress": "02:00:00:00:00:77"`, "{{.NetworkSettings.Networks.walknet.MacAddress}}", "02:00:00:00:00:77"),
	connects("EndpointConfig.DriverOpts", `"DriverOpts": {"com.docker.network.endpoint.ifname": "walk0"}`, "{{.NetworkSettings.Networks.walknet.DriverOpts}}", "walk0"),
	connects("EndpointConfig.GwPriority", `"GwPriority": 77`, "{{.NetworkSettings.Networks.walknet.GwPriority}}", "77"),
}

// connects is the row of a member of the request to join a network.
func connects(member, with, shown, want string, inner ...string) parameter {
	const path = "POST /networks/{id}/connect body "
	body := func(set string) string {
		return `/networks/walknet/connect {"Container": "xx", "EndpointConfig": {` + set + `}}`
	}
	p := parameter{
		of: path + member, before: "berth network create --ipv6 --subnet 10.77.2.0/24 --subnet fd77::/64 walknet\n" + runX + "busybox sleep 1000",
		without: body(""), with: body(with), want: want,
	}
	if member == "Container" {
		p.with = `/networks/walknet/connect {"Container": "nobody"}`
	}
	if shown != "" {
		p.look = "berth inspect -f '" + shown + "' xx"
	}
	for _, name := range inner {
		p.also = append(p.also, path+name)
	}
	return p
}
