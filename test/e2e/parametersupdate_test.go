package e2e

import "strings"

var updateParameters = []parameter{
	updates("CpuShares", "300", "{{.HostConfig.CpuShares}}", "300"),
	updates("Memory", "90000000", "{{.HostConfig.Memory}}", "90000000"),
	updates("BlkioWeight", "300", "{{.HostConfig.BlkioWeight}}", "300"),
	updates("CpuPeriod", "50000", "{{.HostConfig.CpuPeriod}}", "50000"),
	updates("CpuQuota", "50000", "{{.HostConfig.CpuQuota}}", "50000"),
	updates("CpusetCpus", `"0"`, "{{.HostConfig.CpusetCpus}};", "0;"),
	updates("CpusetMems", `"0"`, "{{.HostConfig.CpusetMems}};", "0;"),
	updates("MemoryReservation", "70000000", "{{.HostConfig.MemoryReservation}}", "70000000"),
	updates("MemorySwap", "990000000", "{{.HostConfig.MemorySwap}}", "990000000"),
	updates("NanoCpus", "700000000", "{{.HostConfig.NanoCpus}}", "700000000"),
	updates("PidsLimit", "77", "{{.HostConfig.PidsLimit}}", "77"),
	updates("RestartPolicy", `{"Name": "always"}`, "{{.HostConfig.RestartPolicy.Name}}", "always"),
	updates("RestartPolicy.Name", `{"Name": "unless-stopped"}`, "{{.HostConfig.RestartPolicy.Name}}", "unless-stopped"),
	updates("RestartPolicy.MaximumRetryCount", `{"Name": "on-failure", "MaximumRetryCount": 7}`, "{{.HostConfig.RestartPolicy.MaximumRetryCount}}", "7"),

	refusesUpdate("CgroupParent", `"x"`),
	refusesUpdate("BlkioWeightDevice", `[{"Path": "/dev/null", "Weight": 100}]`, "Path", "Weight"),
	refusesUpdate("BlkioDeviceReadBps", `[{"Path": "/dev/null", "Rate": 100}]`, "Path", "Rate"),
	refusesUpdate("BlkioDeviceWriteBps", `[{"Path": "/dev/null", "Rate": 100}]`, "Path", "Rate"),
	refusesUpdate("BlkioDeviceReadIOps", `[{"Path": "/dev/null", "Rate": 100}]`, "Path", "Rate"),
	refusesUpdate("BlkioDeviceWriteIOps", `[{"Path": "/dev/null", "Rate": 100}]`, "Path", "Rate"),
	refusesUpdate("CpuRealtimePeriod", "1000"),
	refusesUpdate("CpuRealtimeRuntime", "1000"),
	refusesUpdate("Devices", `[{"PathOnHost": "/dev/null"}]`, "PathOnHost", "PathInContainer", "CgroupPermissions"),
	refusesUpdate("DeviceCgroupRules", `["b 7:* rwm"]`),
	refusesUpdate("DeviceRequests", `[{"Driver": "cdi"}]`, "Driver", "Count", "DeviceIDs", "Capabilities", "Options"),
	refusesUpdate("MemorySwappiness", "10"),
	refusesUpdate("OomKillDisable", "true"),
	refusesUpdate("Init", "true"),
	refusesUpdate("Ulimits", `[{"Name": "nofile", "Soft": 10, "Hard": 10}]`, "Name", "Soft", "Hard"),
	refusesUpdate("CpuCount", "1"),
	refusesUpdate("CpuPercent", "1"),
	refusesUpdate("IOMaximumIOps", "1"),
	refusesUpdate("IOMaximumBandwidth", "1"),
}

// updates is the row of a limit of a container that runs.
func updates(member, value, shown, want string) parameter {
	name, _, _ := strings.Cut(member, ".")
	return parameter{
		of: "POST /containers/{id}/update body " + member, before: runX + "-m 80m --memory-swap 900m busybox sleep 1000",
		without: "/containers/xx/update {}", with: `/containers/xx/update {"` + name + `": ` + value + "}", look: "berth inspect -f '" + shown + "' xx", want: want,
	}
}

// refusesUpdate is the row of what cannot be changed, with the members inside.
func refusesUpdate(member, value string, inner ...string) parameter {
	p := parameter{
		of: "POST /containers/{id}/update body " + member, before: runX + "busybox sleep 1000",
		without: "/containers/xx/update {}", with: `/containers/xx/update {"` + member + `": ` + value + "}", want: member,
	}
	for _, name := range inner {
		p.also = append(p.also, p.of+"."+name)
	}
	return p
}
