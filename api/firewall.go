package api

// Firewall is the answer to GET /system/firewall: what the engine tells the
// host's packet filter.
type Firewall struct {
	// Table is the engine's nftables table as it is now, in the language of nft(8).
	Table string
	// PublishPolicy is how published ports stand to the host's own rules: docker,
	// host or loopback.
	PublishPolicy string
	// Warnings name what else on the host will disturb containers' networks.
	Warnings []string
}
